-- The thresholds count the customers of each score, and all of them.
WITH counted AS (
    SELECT 'recency' AS dimension, recency_score AS score, count(*) AS customers FROM customer_rfm GROUP BY recency_score
    UNION ALL
    SELECT 'frequency', frequency_score, count(*) FROM customer_rfm GROUP BY frequency_score
    UNION ALL
    SELECT 'monetary', monetary_score, count(*) FROM customer_rfm GROUP BY monetary_score
)

SELECT *
FROM counted
FULL OUTER JOIN rfm_thresholds
    ON counted.dimension = rfm_thresholds.dimension AND counted.score = rfm_thresholds.score
WHERE
    (coalesce(counted.customers, 0) IS DISTINCT FROM rfm_thresholds.customers)
    -- of small groups that are withheld the row is missing
    AND (CAST($minimum_group_size AS BIGINT) <= 1 OR rfm_thresholds.score IS NOT NULL)
