-- How many lines each item has: at least as many as baskets.
--
-- Grain:      an item, in each bucket of orders that line_tally has
-- Inputs:     line_tally
-- Parameters: $min_support_count  the least number of baskets of a frequent itemset
SELECT
    counted['value'] AS line_item_id,
    arrow_cast(counted['value'], 'Utf8') AS item_id,
    CAST(0 AS BIGINT) AS group_number,
    counted['count'] AS lines,
    CAST($min_support_count AS BIGINT) AS min_support_count
FROM (SELECT unnest(item_lines) AS counted FROM line_tally)
