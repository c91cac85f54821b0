-- The segments a person wants to see first.
--
-- Grain:  a segment
-- Inputs: rfm_segments
SELECT
    segment,
    customers,
    concat(round(100 * customer_share, 1), ' %') AS of_customers,
    CAST(revenue AS DECIMAL(38, 2)) AS revenue,
    concat(round(100 * revenue_share, 1), ' %') AS of_revenue,
    median_recency_days AS days_since_order,
    median_frequency AS orders_each
FROM rfm_segments
ORDER BY revenue_share DESC, segment
