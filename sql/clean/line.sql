-- The order lines that count: what every later stage reads.
--
-- Grain:  an order line
-- Inputs: checked_line
SELECT
    order_id,
    item_id,
    customer_id,
    order_ts,
    amount,
    is_refund
FROM checked_line
WHERE left_out_as IS NULL
