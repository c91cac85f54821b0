-- What the run read, left out and found, in counts.
--
-- Grain:  a measure of a stage
-- Inputs: stage_count (what each stage counted)
SELECT
    stage,
    measure,
    value
FROM stage_count
ORDER BY stage, measure
