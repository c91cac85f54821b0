-- What was bought together: the distinct items of each order, as ascending item codes.
--
-- Grain:  an order that holds at least one coded item
-- Inputs: line_item (first, as the side of the join that is held in memory), line
SELECT basket(line_item.item) AS items
FROM line_item
INNER JOIN line ON line_item.line_item_id = line.item_id
WHERE NOT line.is_refund
GROUP BY line.order_id
