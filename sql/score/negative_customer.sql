-- How many customers have money below zero.
--
-- Grain:  one row
-- Inputs: valued_customer
SELECT count(*) AS customers
FROM valued_customer
WHERE revenue < 0
