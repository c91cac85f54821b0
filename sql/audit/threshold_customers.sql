-- The thresholds count the customers of each score, and all of them.
WITH cell AS (
    SELECT
        make_array(recency_score, frequency_score, monetary_score) AS scores,
        count(*) AS customers
    FROM customer_rfm
    GROUP BY recency_score, frequency_score, monetary_score
),

counted AS (
    SELECT
        dimension,
        score,
        sum(customers) AS customers
    FROM (
        SELECT
            unnest(make_array('recency', 'frequency', 'monetary')) AS dimension,
            unnest(scores) AS score,
            customers
        FROM cell
    ) AS scores_of_cells
    GROUP BY dimension, score
)

SELECT *
FROM counted
FULL OUTER JOIN rfm_thresholds
    ON counted.dimension = rfm_thresholds.dimension AND counted.score = rfm_thresholds.score
WHERE
    (coalesce(counted.customers, 0) IS DISTINCT FROM rfm_thresholds.customers)
    -- of small groups that are withheld the row is missing
    AND (CAST($minimum_group_size AS BIGINT) <= 1 OR rfm_thresholds.score IS NOT NULL)
