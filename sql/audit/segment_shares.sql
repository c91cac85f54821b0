-- The segments' shares of customers and of revenue add up to 1 (revenue: unless there is none, and as exactly as the
-- largest of its shares can be told: with refunds they may be far above 1).
SELECT
    sum(customer_share) AS customer_share,
    sum(revenue_share) AS revenue_share
FROM rfm_segments
HAVING
    -- small groups that are withheld are missing from a total
    CAST($minimum_group_size AS BIGINT) <= 1
    AND (abs(sum(customer_share) - 1) > 1e-9 OR abs(sum(revenue_share) - 1) > 1e-9 * sum(abs(revenue_share)))
