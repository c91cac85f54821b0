-- What was bought together, as basket.sql has it, of all groups at once: an order whose lines are of several groups is a
-- basket in each.
--
-- Grain:  an order in a group, where it holds at least one coded item
-- Inputs: line_item and basket_group (first, as sides of joins that are held in memory), grouped_line
SELECT
    line.group_number,
    basket(line_item.item) AS items
FROM line_item
INNER JOIN (
    SELECT
        basket_group.group_number,
        grouped_line.order_id,
        grouped_line.item_id
    FROM basket_group
    INNER JOIN grouped_line ON basket_group.group_key = grouped_line.group_key
    WHERE NOT grouped_line.is_refund
) AS line ON line_item.line_item_id = line.item_id
GROUP BY line.group_number, line.order_id
