-- What each segment is worth.
--
-- Grain:   a segment that has customers
-- Inputs:  scored_customer
-- Formula: shares are of all customers and of all revenue; a share of no revenue is null.
WITH total AS (
    SELECT
        count(*) AS customers,
        sum(revenue) AS revenue
    FROM scored_customer
),

segment AS (
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
)

SELECT
    segment.segment,
    segment.customers,
    CAST(segment.customers AS DOUBLE) / CAST(total.customers AS DOUBLE) AS customer_share,
    segment.orders,
    segment.revenue,
    CAST(segment.revenue AS DOUBLE) / nullif(CAST(total.revenue AS DOUBLE), 0) AS revenue_share,
    segment.median_recency_days,
    segment.median_frequency,
    segment.median_monetary
FROM segment
CROSS JOIN total
ORDER BY segment.revenue DESC, segment.segment
