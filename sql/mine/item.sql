-- A code for each item that may be frequent: it has at least as many lines as a frequent item has baskets.
--
-- Grain:      an item
-- Inputs:     line
-- Parameters: $min_support_count  the least number of baskets of a frequent itemset
-- Formula:    item is the rank by lines, the most frequent 0, what miners want; item_number follows the byte-wise order of the
--             ids, so an ascending list of numbers is a sorted list of ids. line_item_id is the id as the lines have it,
--             perhaps an integer. The ids are plain strings, not views: lists of views keep every buffer that they were ever
--             put together from.
WITH counted AS (
    SELECT
        item_id AS line_item_id,
        arrow_cast(item_id, 'Utf8') AS item_id,
        count(*) AS lines
    FROM line
    WHERE item_id IS NOT NULL AND NOT is_refund
    GROUP BY item_id
    HAVING count(*) >= CAST($min_support_count AS BIGINT)
)

SELECT
    item_id,
    line_item_id,
    CAST(row_number() OVER (ORDER BY lines DESC, item_id) - 1 AS INT UNSIGNED) AS item,
    CAST(row_number() OVER (ORDER BY item_id) - 1 AS INT UNSIGNED) AS item_number
FROM counted
