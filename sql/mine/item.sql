-- A code for each item that may be frequent: it has at least as many lines as a frequent item has baskets.
--
-- Grain:      an item
-- Inputs:     line
-- Parameters: $min_support_count  the least number of baskets of a frequent itemset
-- Formula:    codes follow the byte-wise order of the ids, so an ascending list of codes is a sorted list of ids.
--             The ids are plain strings, not views: lists of views keep every buffer that they were ever put together from.
SELECT
    arrow_cast(item_id, 'Utf8') AS item_id,
    CAST(row_number() OVER (ORDER BY item_id) - 1 AS INT UNSIGNED) AS item
FROM line
WHERE item_id IS NOT NULL AND NOT is_refund
GROUP BY item_id
HAVING count(*) >= CAST($min_support_count AS BIGINT)
