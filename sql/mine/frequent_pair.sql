-- The frequent itemsets of length 2, counted without writing out all candidate pairs.
--
-- Grain:      a frequent pair
-- Inputs:     basket, related_item
-- Parameters: $min_support_count
-- The pairs of some of the baskets, side by side.
WITH part AS (
    SELECT unnest(part_pair_counts(items)) AS pair
    FROM basket
),

counted AS (
    SELECT
        pair['first'] AS first_item,
        pair['second'] AS second_item,
        CAST(sum(pair['support_count']) AS BIGINT) AS support_count
    FROM part
    GROUP BY pair['first'], pair['second']
    HAVING sum(pair['support_count']) >= CAST($min_support_count AS BIGINT)
),

allowed AS (
    SELECT counted.*
    FROM related_item
    RIGHT ANTI JOIN counted
        ON related_item.first_item = counted.first_item AND related_item.second_item = counted.second_item
)

SELECT
    CAST(row_number() OVER (ORDER BY first_item, second_item) AS BIGINT) - 1 AS itemset_number,
    CAST(first_item AS BIGINT) AS prefix_number,
    second_item AS last_item,
    make_array(first_item, second_item) AS items,
    support_count
FROM allowed
