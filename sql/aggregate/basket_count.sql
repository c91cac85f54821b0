-- N, the number of baskets: orders with at least one item, counted before any item is dropped.
--
-- Grain:  one row
-- Inputs: line_tally
SELECT coalesce(max(baskets), 0) AS basket_count
FROM line_tally
