-- The order lines that count: what every later stage reads.
--
-- Grain:      an order line
-- Inputs:     checked_line
-- Parameters: $some_left_out  whether any line is left out: if none is, what decides it need not be read again
SELECT
    order_id,
    item_id,
    customer_id,
    order_ts,
    amount,
    is_refund,
    group_key
FROM checked_line
WHERE left_out_as IS NULL OR NOT CAST($some_left_out AS BOOLEAN)
