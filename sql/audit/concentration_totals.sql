-- The deciles together are all segments, in customers and revenue.
SELECT *
FROM (SELECT sum(customers) AS customers, sum(revenue) AS revenue FROM rfm_concentration) AS deciles
CROSS JOIN (SELECT sum(customers) AS customers, sum(revenue) AS revenue FROM rfm_segments) AS segments
WHERE
    (deciles.customers IS DISTINCT FROM segments.customers)
    OR (deciles.revenue IS DISTINCT FROM segments.revenue)
