-- A customer has one row and a stage, and days that follow one another.
SELECT customer_id, count(*) AS rows
FROM customer_lifecycle
GROUP BY customer_id
HAVING
    count(*) > 1
    OR (
        min(lifecycle_stage) IN ('new', 'active', 'lapsing', 'lapsed', 'reactivated')
        AND min(recency_days) >= 0
        AND min(tenure_days - recency_days) >= 0
        AND coalesce(min(last_gap_days), 1) >= 1
    ) IS NOT TRUE
