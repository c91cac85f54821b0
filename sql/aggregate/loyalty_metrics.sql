-- How many customers buy, come back and how often, and for how much, in each week, month, quarter or year.
--
-- Grain:      a period from that of the first line to that of the run date, with or without orders
-- Inputs:     line
-- Parameters: $metrics   'week' (from Monday), 'month', 'quarter' or 'year'
--             $run_date  the last day observed
-- Formula:    new_customers have their first order in the period, returning_customers had one in an earlier period, retained_customers
--             in the period before. retention_rate = retained_customers / customers of the period before.
--             repeat_customer_rate = returning_customers / customers. purchase_frequency = orders / customers.
--             average_order_value = revenue / orders. Each is null where it would divide by nothing.
--             A refund (clean.returns = "net") adds to the revenue of its period.
-- Weeks are counted from Monday, the 29th of December 1969, and from 700,000 days before it, so that from the year 53 on no number is below zero.
WITH dated AS (
    SELECT
        customer_id,
        order_id,
        amount,
        is_refund,
        CASE
            WHEN $metrics = 'week' THEN (CAST(CAST(order_date AS INT) AS BIGINT) + 3 + 700000) / 7
            WHEN $metrics = 'month' THEN CAST(date_part('year', order_date) * 12 + date_part('month', order_date) - 1 AS BIGINT)
            WHEN $metrics = 'quarter' THEN CAST(date_part('year', order_date) * 4 + date_part('quarter', order_date) - 1 AS BIGINT)
            ELSE CAST(date_part('year', order_date) AS BIGINT)
        END AS period
    FROM (SELECT *, CAST(order_ts AS DATE) AS order_date FROM line WHERE customer_id IS NOT NULL)
),

last_period AS (
    SELECT
        CASE
            WHEN $metrics = 'week' THEN (CAST(CAST(run_date AS INT) AS BIGINT) + 3 + 700000) / 7
            WHEN $metrics = 'month' THEN CAST(date_part('year', run_date) * 12 + date_part('month', run_date) - 1 AS BIGINT)
            WHEN $metrics = 'quarter' THEN CAST(date_part('year', run_date) * 4 + date_part('quarter', run_date) - 1 AS BIGINT)
            ELSE CAST(date_part('year', run_date) AS BIGINT)
        END AS period
    FROM (SELECT CAST($run_date AS DATE) AS run_date)
),

customer_period AS (
    SELECT
        customer_id,
        period,
        count(DISTINCT CASE WHEN NOT is_refund THEN order_id END) AS orders,
        coalesce(sum(amount), 0) AS revenue
    FROM dated
    GROUP BY customer_id, period
),

followed AS (
    SELECT
        *,
        orders > 0 AS has_ordered,
        lag(period) OVER (PARTITION BY customer_id, orders > 0 ORDER BY period) AS period_before
    FROM customer_period
),

counted AS (
    SELECT
        period,
        count(*) FILTER (WHERE has_ordered) AS customers,
        count(*) FILTER (WHERE has_ordered AND period_before IS NULL) AS new_customers,
        count(*) FILTER (WHERE has_ordered AND period_before IS NOT NULL) AS returning_customers,
        count(*) FILTER (WHERE has_ordered AND period_before = period - 1) AS retained_customers,
        CAST(sum(orders) AS BIGINT) AS orders,
        sum(revenue) AS revenue
    FROM followed
    GROUP BY period
),

reach AS (
    SELECT unnest(range(first_period, last_period.period + 1)) AS period
    FROM (SELECT min(period) AS first_period FROM counted)
    CROSS JOIN last_period
)

SELECT
    CASE
        WHEN $metrics = 'week' THEN CAST(CAST(reach.period * 7 - 3 - 700000 AS INT) AS DATE)
        WHEN $metrics = 'month' THEN make_date(CAST(reach.period / 12 AS INT), CAST(reach.period % 12 + 1 AS INT), 1)
        WHEN $metrics = 'quarter' THEN make_date(CAST(reach.period / 4 AS INT), CAST(reach.period % 4 * 3 + 1 AS INT), 1)
        ELSE make_date(CAST(reach.period AS INT), 1, 1)
    END AS period_start,
    coalesce(counted.customers, 0) AS customers,
    coalesce(counted.new_customers, 0) AS new_customers,
    coalesce(counted.returning_customers, 0) AS returning_customers,
    coalesce(counted.retained_customers, 0) AS retained_customers,
    coalesce(counted.orders, 0) AS orders,
    coalesce(counted.revenue, 0) AS revenue,
    CAST(counted.revenue AS DOUBLE) / nullif(CAST(counted.orders AS DOUBLE), 0) AS average_order_value,
    CAST(counted.orders AS DOUBLE) / nullif(CAST(counted.customers AS DOUBLE), 0) AS purchase_frequency,
    CAST(counted.returning_customers AS DOUBLE) / nullif(CAST(counted.customers AS DOUBLE), 0) AS repeat_customer_rate,
    CAST(coalesce(counted.retained_customers, 0) AS DOUBLE)
    / nullif(CAST(lag(coalesce(counted.customers, 0)) OVER (ORDER BY reach.period) AS DOUBLE), 0) AS retention_rate
FROM reach
LEFT JOIN counted ON reach.period = counted.period
ORDER BY period_start
