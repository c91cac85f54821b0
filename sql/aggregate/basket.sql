-- What was bought together: the distinct items of each order, as ascending item codes.
--
-- Grain:  an order that holds at least one coded item
-- Inputs: line, item
SELECT basket(item.item) AS items
FROM line
INNER JOIN item ON line.item_id = item.line_item_id
WHERE NOT line.is_refund
GROUP BY line.order_id
