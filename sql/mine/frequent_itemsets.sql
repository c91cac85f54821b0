-- All frequent itemsets, as published.
--
-- Grain:      a frequent itemset
-- Inputs:     itemset_support, item
-- Parameters: $basket_count  N
SELECT
    item_ids(items, (SELECT array_agg(item_id ORDER BY item_number) FROM item)) AS itemset,
    CAST(array_length(items) AS INT) AS length,
    support_count,
    CAST(support_count AS DOUBLE) / CAST($basket_count AS DOUBLE) AS support
FROM itemset_support
ORDER BY support_count DESC, items
