-- How many p-values there are to rank.
--
-- Grain:  one row
-- Inputs: measured_rule
SELECT count(*) AS rules
FROM measured_rule
