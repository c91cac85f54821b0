-- The maximal itemsets: no larger itemset is frequent.
--
-- Grain:   a maximal frequent itemset
-- Inputs:  closed_itemset
-- Formula: a maximal itemset is closed, and closed ones are fewer.
SELECT
    itemset['items'] AS items,
    itemset['support_count'] AS support_count
FROM (SELECT unnest(maximal_sets(items, support_count)) AS itemset FROM closed_itemset)
