-- A measure of a stage has one row.
SELECT stage, measure, count(*) AS rows
FROM run_summary
GROUP BY stage, measure
HAVING count(*) > 1
