-- The frequent itemsets of length 1, the first level of Apriori. All levels have these columns; prefix_number is the number, in
-- the level before, of the itemset without its last item: two itemsets of one prefix join to a candidate of the next length.
--
-- Grain:      a frequent item
-- Inputs:     item_count
-- Parameters: $min_support_count
SELECT
    CAST(item AS BIGINT) AS itemset_number,
    CAST(0 AS BIGINT) AS prefix_number,
    item AS last_item,
    make_array(item) AS items,
    support_count
FROM item_count
WHERE support_count >= CAST($min_support_count AS BIGINT)
