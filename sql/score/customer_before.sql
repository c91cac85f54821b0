-- Where customers stood on an earlier day.
--
-- Grain:  a customer with an order by then
-- Inputs: scored_customer (as of that day)
SELECT
    customer_id,
    segment,
    revenue
FROM scored_customer
