-- How many lines each item has: at least as many as baskets.
--
-- Grain:  an item
-- Inputs: line
SELECT
    item_id AS line_item_id,
    arrow_cast(item_id, 'Utf8') AS item_id,
    count(*) AS lines
FROM line
WHERE item_id IS NOT NULL AND NOT is_refund
GROUP BY item_id
