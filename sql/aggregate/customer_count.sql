-- How many customers there are, and how many orders they have.
--
-- Grain:  one row
-- Inputs: customer
SELECT
    count(*) AS customers,
    CAST(coalesce(sum(orders), 0) AS BIGINT) AS orders
FROM customer
