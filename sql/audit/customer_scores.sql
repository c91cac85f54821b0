-- Scores lie from 1 to their most, scaled values and the loyalty score from 0 to 1.
SELECT
    customer_id,
    recency_score,
    frequency_score,
    monetary_score,
    recency_scaled,
    frequency_scaled,
    monetary_scaled,
    loyalty_score
FROM customer_rfm
WHERE
    (
        recency_score BETWEEN 1 AND CAST($recency_bins AS BIGINT)
        AND frequency_score BETWEEN 1 AND CAST($frequency_bins AS BIGINT)
        AND monetary_score BETWEEN 1 AND CAST($monetary_bins AS BIGINT)
        AND recency_scaled BETWEEN 0 AND 1
        AND frequency_scaled BETWEEN 0 AND 1
        AND monetary_scaled BETWEEN 0 AND 1
        AND loyalty_score BETWEEN 0 AND 1
    ) IS NOT TRUE
