-- A code for each item that may be frequent: it has at least as many lines as a frequent item has baskets.
--
-- Grain:      an item
-- Inputs:     wanted_item (registered: item_line, less the items that rules.items leaves out)
-- Parameters: $min_support_count  the least number of baskets of a frequent itemset
-- Formula:    item is the rank by lines, the most frequent 0, what miners want; item_number follows the byte-wise order of the
--             ids, so an ascending list of numbers is a sorted list of ids. line_item_id is the id as the lines have it,
--             perhaps an integer. The ids are plain strings, not views: lists of views keep every buffer that they were ever
--             put together from.
SELECT
    item_id,
    line_item_id,
    CAST(row_number() OVER (ORDER BY lines DESC, item_id) - 1 AS INT UNSIGNED) AS item,
    CAST(row_number() OVER (ORDER BY item_id) - 1 AS INT UNSIGNED) AS item_number
FROM wanted_item
WHERE lines >= CAST($min_support_count AS BIGINT)
