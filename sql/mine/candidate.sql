-- Apriori's candidates: itemsets one item longer than the level before, all of whose parts are frequent there.
--
-- Grain:      a candidate
-- Inputs:     frequent_level (the level before), item
-- Parameters: $length  items in a candidate, at least 3
-- Formula:    join two frequent itemsets that differ in their last item alone; then prune by the other subsets, those
--             that leave out one of the first length - 2 items. (Agrawal and Srikant 1994, apriori-gen.)
WITH joined AS (
    SELECT
        shorter.itemset_number AS prefix_number,
        longer.last_item,
        longer.last_item_id,
        array_append(shorter.items, longer.last_item) AS items,
        array_append(shorter.itemset, longer.last_item_id) AS itemset
    FROM frequent_level AS shorter
    INNER JOIN frequent_level AS longer
        ON shorter.prefix_number = longer.prefix_number AND shorter.last_item < longer.last_item
),

subset AS (
    SELECT
        prefix_number,
        last_item,
        array_concat(array_slice(items, 1, left_out - 1), array_slice(items, left_out + 1, $length)) AS items
    FROM (
        SELECT
            prefix_number,
            last_item,
            items,
            unnest(range(1, CAST($length AS BIGINT) - 1)) AS left_out
        FROM joined
    )
),

infrequent AS (
    SELECT DISTINCT
        subset.prefix_number,
        subset.last_item
    FROM subset
    LEFT ANTI JOIN frequent_level ON subset.items = frequent_level.items
)

SELECT
    CAST(row_number() OVER (ORDER BY joined.prefix_number, joined.last_item) AS BIGINT) - 1 AS itemset_number,
    joined.*
FROM joined
LEFT ANTI JOIN infrequent
    ON joined.prefix_number = infrequent.prefix_number AND joined.last_item = infrequent.last_item
ORDER BY itemset_number
