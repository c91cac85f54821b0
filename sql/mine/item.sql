-- A code for each item that may be frequent: in some group it has at least as many lines as a frequent item has baskets.
--
-- Grain:   an item, or a category of rules.hierarchy
-- Inputs:  wanted_item (registered: item_node, less the items that rules.items leaves out)
-- Formula: item is the rank by lines, the most frequent 0, what miners want; item_number follows the byte-wise order of the
--          ids, so an ascending list of numbers is a sorted list of ids. The ids are plain strings, not views: lists of views
--          keep every buffer that they were ever put together from.
WITH counted AS (
    SELECT
        item_id,
        sum(lines) AS lines
    FROM wanted_item
    GROUP BY item_id, group_number
    HAVING sum(lines) >= min(min_support_count)
),

frequent AS (
    SELECT
        item_id,
        sum(lines) AS lines
    FROM counted
    GROUP BY item_id
)

SELECT
    item_id,
    CAST(row_number() OVER (ORDER BY lines DESC, item_id) - 1 AS INT UNSIGNED) AS item,
    CAST(row_number() OVER (ORDER BY item_id) - 1 AS INT UNSIGNED) AS item_number
FROM frequent
