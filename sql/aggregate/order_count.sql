-- How many orders the customers have.
--
-- Grain:  one row
-- Inputs: customer
SELECT CAST(coalesce(sum(orders), 0) AS BIGINT) AS orders
FROM customer
