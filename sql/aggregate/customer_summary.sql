-- What models of lifetime value take: how often a customer came back, and for how much, by day, week or month.
--
-- Grain:      a customer with at least one order
-- Inputs:     line
-- Parameters: $summary     'day', 'week' (from Monday) or 'month': an order's period
--             $run_date    the last day observed
--             $pseudonymise  whether ids are published as pseudonyms
-- Formula:    frequency: periods with an order after the first. recency: periods from the first to the last with an order.
--             t: periods from the first with an order to the last observed. monetary_value: the mean revenue of a period with an
--             order after the first; 0 without any. A refund (clean.returns = "net") counts in a period with an order.
WITH dated AS (
    SELECT
        arrow_cast(customer_id, 'Utf8') AS customer_id,
        amount,
        is_refund,
        CAST(order_ts AS DATE) AS order_date
    FROM line
    WHERE customer_id IS NOT NULL
),

-- Weeks are counted from Monday, the 29th of December 1969, and from 700,000 days before it, so that from the year 53 on no number is below zero.
period AS (
    SELECT
        customer_id,
        CASE
            WHEN $summary = 'day' THEN CAST(CAST(order_date AS INT) AS BIGINT)
            WHEN $summary = 'week' THEN (CAST(CAST(order_date AS INT) AS BIGINT) + 3 + 700000) / 7
            ELSE CAST(date_part('year', order_date) * 12 + date_part('month', order_date) AS BIGINT)
        END AS period,
        sum(amount) AS revenue
    FROM dated
    GROUP BY 1, 2
    HAVING bool_or(NOT is_refund)
),

last_period AS (
    SELECT
        CASE
            WHEN $summary = 'day' THEN CAST(CAST(run_date AS INT) AS BIGINT)
            WHEN $summary = 'week' THEN (CAST(CAST(run_date AS INT) AS BIGINT) + 3 + 700000) / 7
            ELSE CAST(date_part('year', run_date) * 12 + date_part('month', run_date) AS BIGINT)
        END AS period
    FROM (SELECT CAST($run_date AS DATE) AS run_date)
),

customer AS (
    SELECT
        customer_id,
        count(*) - 1 AS frequency,
        min(period) AS first_period,
        max(period) AS latest_period,
        coalesce(sum(revenue), 0) AS revenue,
        coalesce(first_value(revenue ORDER BY period), 0) AS first_revenue
    FROM period
    GROUP BY customer_id
)

SELECT
    CASE
        WHEN CAST($pseudonymise AS BOOLEAN) THEN pseudonym(customer.customer_id)
        ELSE customer.customer_id
    END AS customer_id,
    customer.frequency,
    customer.latest_period - customer.first_period AS recency,
    last_period.period - customer.first_period AS t,
    CASE
        WHEN customer.frequency > 0
            THEN CAST(customer.revenue - customer.first_revenue AS DOUBLE) / CAST(customer.frequency AS DOUBLE)
        ELSE 0.0
    END AS monetary_value
FROM last_period
CROSS JOIN customer
ORDER BY customer_id
