-- The codes that an item of the lines puts into a basket.
--
-- Grain:  an item of the lines and the code of an item or category that it stands for
-- Inputs: item_node (its line_item_id is the id as the lines have it, perhaps an integer), item
SELECT
    item_node.line_item_id,
    item.item
FROM item
INNER JOIN item_node ON item.item_id = item_node.item_id
GROUP BY item_node.line_item_id, item.item
