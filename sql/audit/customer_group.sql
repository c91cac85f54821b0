-- Every customer has a group and a segment, and dates that follow one another up to the as-of date.
SELECT
    customer_id,
    first_order_date,
    last_order_date,
    recency_days,
    tenure_days,
    orders,
    active_days,
    loyalty_group,
    segment
FROM customer_rfm
WHERE
    (
        loyalty_group IS NOT NULL
        AND segment IS NOT NULL
        AND first_order_date <= last_order_date
        AND recency_days BETWEEN 0 AND tenure_days
        AND orders >= 1
        AND active_days BETWEEN 1 AND tenure_days - recency_days + 1
    ) IS NOT TRUE
