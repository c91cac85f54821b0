-- The deciles together are all segments, in customers and revenue.
SELECT *
FROM (SELECT sum(customers) AS customers, sum(revenue) AS revenue FROM rfm_concentration) AS deciles
CROSS JOIN (SELECT sum(customers) AS customers, sum(revenue) AS revenue FROM rfm_segments) AS segments
WHERE
    -- small groups that are withheld are missing from a total
    CAST($minimum_group_size AS BIGINT) <= 1
    AND (
        (deciles.customers IS DISTINCT FROM segments.customers)
        OR (deciles.revenue IS DISTINCT FROM segments.revenue)
    )
