-- What each segment is worth.
--
-- Grain:   a segment that has customers
-- Inputs:  scored_customer, segment_quantile_range
-- Formula: shares are of all customers and of all revenue; a share of no revenue is null. Medians are the inner edge of two bins.
WITH segment AS (
    SELECT
        customer.segment,
        count(*) AS customers,
        sum(customer.orders) AS orders,
        sum(customer.revenue) AS revenue,
        quantile_edges(customer.recency_days, 2)['edges'][2] AS median_recency_days,
        quantile_edges(customer.frequency, 2)['edges'][2] AS median_frequency,
        quantile_edges(customer.monetary, 2, segment_quantile_range.monetary)['edges'][2] AS median_monetary
    FROM scored_customer AS customer
    LEFT JOIN segment_quantile_range ON customer.segment = segment_quantile_range.segment
    GROUP BY customer.segment
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
