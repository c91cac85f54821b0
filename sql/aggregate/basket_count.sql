-- N, the number of baskets: orders with at least one item, counted before any item is dropped.
--
-- Grain:  one row
-- Inputs: line_tally
SELECT CAST(coalesce(sum(baskets), 0) AS BIGINT) AS basket_count
FROM line_tally
