-- The frequent itemsets by item numbers, whatever algorithm found them: sorted as their ids are.
--
-- Grain:  a frequent itemset
-- Inputs: found_itemset (registered: what the algorithm found, by ranks), item
SELECT
    item_numbers(items, (SELECT shared(array_agg(item_number ORDER BY item)) FROM item)) AS items,
    support_count
FROM found_itemset
