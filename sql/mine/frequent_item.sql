-- The frequent itemsets of length 1. All levels have these columns; prefix_number is the number, in the level before, of the
-- itemset without its last item: two itemsets of one prefix join to a candidate of the next length.
--
-- Grain:      a frequent item
-- Inputs:     basket, item
-- Parameters: $min_support_count
WITH counted AS (
    SELECT
        item,
        count(*) AS support_count
    FROM (SELECT unnest(items) AS item FROM basket)
    GROUP BY item
    HAVING count(*) >= CAST($min_support_count AS BIGINT)
)

SELECT
    CAST(counted.item AS BIGINT) AS itemset_number,
    CAST(0 AS BIGINT) AS prefix_number,
    counted.item AS last_item,
    make_array(counted.item) AS items,
    make_array(item.item_id) AS itemset,
    counted.support_count
FROM counted
INNER JOIN item ON counted.item = item.item
