-- What each segment is worth.
--
-- Grain:   a segment that has customers
-- Inputs:  scored_customer
-- Formula: shares are of all customers and of all revenue; a share of no revenue is null.
WITH segment AS (
    SELECT
        segment,
        count(*) AS customers,
        sum(orders) AS orders,
        sum(revenue) AS revenue,
        median(CAST(recency_days AS DOUBLE)) AS median_recency_days,
        median(CAST(frequency AS DOUBLE)) AS median_frequency,
        median(CAST(monetary AS DOUBLE)) AS median_monetary
    FROM scored_customer
    GROUP BY segment
),

-- Beside each segment, what all have together.
compared AS (
    SELECT
        *,
        sum(customers) OVER () AS all_customers,
        sum(revenue) OVER () AS all_revenue
    FROM segment
)

SELECT
    segment,
    customers,
    CAST(customers AS DOUBLE) / CAST(all_customers AS DOUBLE) AS customer_share,
    orders,
    revenue,
    CAST(revenue AS DOUBLE) / nullif(CAST(all_revenue AS DOUBLE), 0) AS revenue_share,
    median_recency_days,
    median_frequency,
    median_monetary
FROM compared
ORDER BY revenue DESC, segment
