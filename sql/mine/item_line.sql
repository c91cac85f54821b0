-- How many lines each item has: at least as many as baskets.
--
-- Grain:  an item
-- Inputs: line_tally
SELECT
    counted['value'] AS line_item_id,
    arrow_cast(counted['value'], 'Utf8') AS item_id,
    counted['count'] AS lines
FROM (SELECT unnest(item_lines) AS counted FROM line_tally)
