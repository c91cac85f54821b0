-- Each customer's recency, tenure and frequency, as of a date.
--
-- Grain:      a customer
-- Inputs:     customer
-- Parameters: $as_of      the date recency and tenure are measured from
--             $frequency  'orders', 'days' or 'lines' (those of orders), or 'repeats' (orders after the first)
--             $negative   'keep', or 'zero' for money below zero, where refunds are more than orders
--             $monetary   'sum', or 'mean' (an order, rounded half away from zero)
SELECT
    customer_id,
    first_order_date,
    last_order_date,
    -- a date as an integer is its days since 1970
    CAST(CAST($as_of AS DATE) AS INT) - CAST(last_order_date AS INT) AS recency_days,
    CAST(CAST($as_of AS DATE) AS INT) - CAST(first_order_date AS INT) AS tenure_days,
    orders,
    active_days,
    CASE
        WHEN $frequency = 'days' THEN active_days
        WHEN $frequency = 'lines' THEN lines
        WHEN $frequency = 'repeats' THEN orders - 1
        ELSE orders
    END AS frequency,
    CASE WHEN $monetary = 'mean' THEN CAST(revenue / CAST(orders AS DECIMAL(18, 0)) AS DECIMAL(38, 4)) ELSE revenue END AS monetary,
    revenue,
    CAST(revenue AS DOUBLE) / CAST(orders AS DOUBLE) AS average_order_value
FROM (
    SELECT
        * EXCEPT (monetary),
        CASE WHEN $negative = 'zero' THEN greatest(monetary, CAST(0 AS DECIMAL(38, 4))) ELSE monetary END AS revenue
    FROM customer
) AS customer
