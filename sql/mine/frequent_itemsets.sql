-- All frequent itemsets that are wanted, as published.
--
-- Grain:      a frequent itemset
-- Inputs:     wanted_itemset (registered: itemset_support, closed_itemset or maximal_itemset), item
-- Parameters: $basket_count      N
--             $min_length        items in an itemset
--             $longest_itemset   likewise, at most
SELECT
    item_ids(items, (SELECT shared(array_agg(item_id ORDER BY item_number)) FROM item)) AS itemset,
    CAST(array_length(items) AS INT) AS length,
    support_count,
    CAST(support_count AS DOUBLE) / CAST($basket_count AS DOUBLE) AS support
FROM wanted_itemset
WHERE array_length(items) BETWEEN CAST($min_length AS BIGINT) AND CAST($longest_itemset AS BIGINT)
ORDER BY support_count DESC, items
