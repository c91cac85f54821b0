-- The frequent itemsets of length 2, counted without writing out all candidate pairs.
--
-- Grain:      a frequent pair
-- Inputs:     basket, related_item
-- Parameters: $min_support_count
WITH counted AS (
    SELECT unnest(pair_counts(items, CAST($min_support_count AS BIGINT))) AS pair
    FROM basket
),

allowed AS (
    SELECT counted.pair
    FROM related_item
    RIGHT ANTI JOIN counted
        ON related_item.first_item = counted.pair['first'] AND related_item.second_item = counted.pair['second']
)

SELECT
    CAST(row_number() OVER (ORDER BY pair['first'], pair['second']) AS BIGINT) - 1 AS itemset_number,
    CAST(pair['first'] AS BIGINT) AS prefix_number,
    pair['second'] AS last_item,
    make_array(pair['first'], pair['second']) AS items,
    pair['support_count'] AS support_count
FROM allowed
