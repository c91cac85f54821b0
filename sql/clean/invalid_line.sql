-- The values that cannot be used, by column, with an example of each.
--
-- Grain:  a column of ours
-- Inputs: order_line
-- Parameters: $run_end  lines after it are not read into the run
SELECT
    invalid_column,
    CAST(sum(copies) AS BIGINT) AS lines,
    min(invalid_value) AS example
FROM order_line
WHERE passes_filter AND invalid_column IS NOT NULL AND (order_ts < $run_end) IS DISTINCT FROM false
GROUP BY invalid_column
ORDER BY invalid_column
