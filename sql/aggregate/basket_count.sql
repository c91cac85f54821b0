-- N, the number of baskets: orders with at least one item, counted before any item is dropped.
--
-- Grain:  one row
-- Inputs: line
SELECT distinct_count(order_id) AS basket_count
FROM line
WHERE item_id IS NOT NULL AND NOT is_refund
