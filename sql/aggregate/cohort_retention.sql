-- How many customers come back, and what they spend, by the month of their first order and the months since.
--
-- Grain:      a month of first orders and a number of months since then, up to the run date's month, with or without orders
-- Inputs:     line
-- Parameters: $run_date  the last day observed
-- Formula:    retention = customers with an order in the month / customers of the cohort; the first month's is 1.
--             average_order_value = revenue / orders; purchase_frequency = orders / customers with an order; null without any.
--             repeat_purchase_rate: the customers of the cohort with a second order by the end of the month / all of the cohort.
WITH dated AS (
    SELECT
        customer_id,
        order_id,
        amount,
        CAST(date_part('year', order_ts) * 12 + date_part('month', order_ts) - 1 AS BIGINT) AS month
    FROM line
    WHERE customer_id IS NOT NULL AND NOT is_refund
),

monthly AS (
    SELECT
        customer_id,
        month,
        distinct_orders,
        revenue,
        min(month) OVER (PARTITION BY customer_id) AS first_month,
        sum(distinct_orders) OVER (PARTITION BY customer_id ORDER BY month) AS orders_so_far
    FROM (
        SELECT
            customer_id,
            month,
            count(DISTINCT order_id) AS distinct_orders,
            coalesce(sum(amount), 0) AS revenue
        FROM dated
        GROUP BY customer_id, month
    )
),

active AS (
    SELECT
        first_month,
        month - first_month AS months_since,
        count(*) AS customers,
        CAST(sum(distinct_orders) AS BIGINT) AS orders,
        sum(revenue) AS revenue,
        -- the month in which a customer's second order falls
        count(*) FILTER (WHERE orders_so_far >= 2 AND orders_so_far - distinct_orders < 2) AS first_repeats
    FROM monthly
    GROUP BY first_month, month - first_month
),

cohort AS (
    SELECT
        first_month,
        customers,
        unnest(range(0, CAST(date_part('year', CAST($run_date AS DATE)) * 12 + date_part('month', CAST($run_date AS DATE)) AS BIGINT) - first_month)) AS months_since
    FROM active
    WHERE months_since = 0
)

SELECT
    make_date(CAST(cohort.first_month / 12 AS INT), CAST(cohort.first_month % 12 + 1 AS INT), 1) AS cohort_month,
    CAST(cohort.months_since AS INT) AS months_since,
    cohort.customers AS cohort_customers,
    coalesce(active.customers, 0) AS customers,
    coalesce(active.orders, 0) AS orders,
    coalesce(active.revenue, 0) AS revenue,
    CAST(coalesce(active.customers, 0) AS DOUBLE) / CAST(cohort.customers AS DOUBLE) AS retention,
    CAST(active.revenue AS DOUBLE) / CAST(active.orders AS DOUBLE) AS average_order_value,
    CAST(active.orders AS DOUBLE) / CAST(active.customers AS DOUBLE) AS purchase_frequency,
    CAST(sum(coalesce(active.first_repeats, 0)) OVER (PARTITION BY cohort.first_month ORDER BY cohort.months_since) AS DOUBLE)
    / CAST(cohort.customers AS DOUBLE) AS repeat_purchase_rate
FROM cohort
LEFT JOIN active ON cohort.first_month = active.first_month AND cohort.months_since = active.months_since
ORDER BY cohort_month, months_since
