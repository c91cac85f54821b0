-- What each customer ordered, up to the run date.
--
-- Grain:  a customer with at least one order: one with refunds alone is left out
-- Inputs: customer_tally
SELECT
    customer_id,
    first_order_date,
    last_order_date,
    orders,
    active_days,
    lines,
    monetary
FROM customer_tally
WHERE left_out_as IS NULL AND orders > 0
