-- The values that cannot be used, by column, with an example of each.
--
-- Grain:  a column of ours
-- Inputs: order_line
SELECT
    invalid_column,
    CAST(sum(copies) AS BIGINT) AS lines,
    min(invalid_value) AS example
FROM order_line
WHERE passes_filter AND invalid_column IS NOT NULL
GROUP BY invalid_column
ORDER BY invalid_column
