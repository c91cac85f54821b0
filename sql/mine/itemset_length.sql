-- How many itemsets of each length there are.
--
-- Grain:  a length
-- Inputs: itemset_support
SELECT
    CAST(array_length(items) AS BIGINT) AS length,
    count(*) AS itemsets
FROM itemset_support
GROUP BY array_length(items)
ORDER BY length
