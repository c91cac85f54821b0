-- Every line read was kept or left out for a reason that is counted.
SELECT
    sum(CASE WHEN measure = 'lines_read' THEN value END) AS lines_read,
    sum(CASE WHEN measure <> 'lines_read' THEN value END) AS lines_accounted_for
FROM run_summary
WHERE stage = 'clean' AND measure NOT IN ('lines_without_customer', 'lines_without_item')
HAVING sum(CASE WHEN measure = 'lines_read' THEN value ELSE -value END) <> 0
