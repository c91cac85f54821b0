-- The scored customers, as published.
--
-- Grain:  a customer
-- Inputs: scored_customer
SELECT * EXCEPT (revenue)
FROM scored_customer
ORDER BY customer_id
