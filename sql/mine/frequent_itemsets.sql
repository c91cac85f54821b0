-- All frequent itemsets, as published.
--
-- Grain:      a frequent itemset
-- Inputs:     itemset_support (the levels together)
-- Parameters: $basket_count  N
SELECT
    itemset,
    CAST(array_length(itemset) AS INT) AS length,
    support_count,
    CAST(support_count AS DOUBLE) / CAST($basket_count AS DOUBLE) AS support
FROM itemset_support
ORDER BY support_count DESC, itemset
