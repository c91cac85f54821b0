-- The closed itemsets: no larger itemset is in the same baskets.
--
-- Grain:   a closed frequent itemset
-- Inputs:  itemset_support
-- Formula: a larger itemset in the same baskets has the same support, so only itemsets of the same support are compared.
SELECT
    itemset['items'] AS items,
    itemset['support_count'] AS support_count
FROM (
    SELECT unnest(maximal_sets(items, support_count)) AS itemset
    FROM itemset_support
    GROUP BY support_count
)
