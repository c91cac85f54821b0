-- The segments together are all customers, all orders and, where monetary is a sum, all revenue, to the last digit.
SELECT *
FROM (SELECT sum(customers) AS customers, sum(orders) AS orders, sum(revenue) AS revenue FROM rfm_segments) AS segments
CROSS JOIN (SELECT count(*) AS customers, sum(orders) AS orders, sum(monetary) AS revenue FROM customer_rfm) AS total
WHERE
    -- small groups that are withheld are missing from a total
    CAST($minimum_group_size AS BIGINT) <= 1
    AND (
        (segments.customers IS DISTINCT FROM nullif(total.customers, 0))
        OR (segments.orders IS DISTINCT FROM total.orders)
        OR ($monetary = 'sum' AND (segments.revenue IS DISTINCT FROM total.revenue))
    )
