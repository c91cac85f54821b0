-- Every customer of now came from somewhere or is new.
SELECT *
FROM (
    SELECT
        sum(customers) AS customers,
        sum(revenue_after) AS revenue
    FROM segment_migration
    WHERE segment_after IS NOT NULL
) AS moved
CROSS JOIN (SELECT sum(customers) AS customers, sum(revenue) AS revenue FROM rfm_segments) AS segments
WHERE
    -- small groups that are withheld are missing from a total
    CAST($minimum_group_size AS BIGINT) <= 1
    AND (
        (moved.customers IS DISTINCT FROM segments.customers)
        OR (moved.revenue IS DISTINCT FROM segments.revenue)
    )
