-- Apriori's candidates: itemsets one item longer than the level before, all of whose parts are frequent there.
--
-- Grain:      a candidate
-- Inputs:     frequent_level (the level before)
-- Parameters: $length  items in a candidate, at least 3
-- Formula:    join two frequent itemsets that differ in their last item alone; then keep those of which the other subsets,
--             which leave out one of the first length - 2 items, are all frequent, too. (Agrawal and Srikant 1994,
--             apriori-gen.)
WITH joined AS (
    SELECT
        shorter.itemset_number AS prefix_number,
        longer.last_item,
        array_append(shorter.items, longer.last_item) AS items
    FROM frequent_level AS shorter
    INNER JOIN frequent_level AS longer
        ON shorter.prefix_number = longer.prefix_number AND shorter.last_item < longer.last_item
),

placed AS (
    SELECT
        *,
        unnest(range(1, CAST($length AS BIGINT) - 1)) AS left_out
    FROM joined
),

subset AS (
    SELECT
        prefix_number,
        last_item,
        array_concat(array_slice(items, 1, left_out - 1), array_slice(items, left_out + 1, $length)) AS items
    FROM placed
),

-- Each subset meets one frequent itemset or none. The frequent itemsets are the side that is held in memory, not the many
-- subsets.
frequent_subset AS (
    SELECT
        subset.prefix_number,
        subset.last_item
    FROM frequent_level
    INNER JOIN subset ON frequent_level.items = subset.items
),

surviving AS (
    SELECT
        prefix_number,
        last_item
    FROM frequent_subset
    GROUP BY prefix_number, last_item
    HAVING count(*) = CAST($length AS BIGINT) - 2
)

SELECT
    CAST(row_number() OVER (ORDER BY surviving.prefix_number, surviving.last_item) AS BIGINT) - 1 AS itemset_number,
    surviving.prefix_number,
    surviving.last_item,
    array_append(shorter.items, surviving.last_item) AS items
FROM surviving
INNER JOIN frequent_level AS shorter ON surviving.prefix_number = shorter.itemset_number
ORDER BY itemset_number
