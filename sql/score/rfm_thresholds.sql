-- Where each score begins and ends, and how many customers have it. A score that no customer has (a bin collapsed by
-- ties) has its row, with 0 customers.
--
-- Grain:      a dimension and a score
-- Inputs:     customer_rfm, customer_range
-- Parameters: $bins, $recency_binning, $frequency_binning, $monetary_binning
-- Formula:    quantile: bins (lower, upper] between the edges of customer_range. ntile: least and most of the tile.
WITH edge AS (
    SELECT
        'recency' AS dimension,
        $recency_binning AS binning,
        unnest(range(1, CAST($bins AS BIGINT) + 1)) AS bin,
        recency['edges'] AS edges
    FROM customer_range
    UNION ALL
    SELECT 'frequency', $frequency_binning, unnest(range(1, CAST($bins AS BIGINT) + 1)), frequency['edges'] FROM customer_range
    UNION ALL
    SELECT 'monetary', $monetary_binning, unnest(range(1, CAST($bins AS BIGINT) + 1)), monetary['edges'] FROM customer_range
),

bin AS (
    SELECT
        dimension,
        binning,
        CAST(CASE WHEN dimension = 'recency' THEN CAST($bins AS BIGINT) + 1 - bin ELSE bin END AS INT) AS score,
        edges[bin] AS lower,
        edges[bin + 1] AS upper
    FROM edge
),

scored AS (
    SELECT
        'recency' AS dimension,
        recency_score AS score,
        count(*) AS customers,
        CAST(min(recency_days) AS DOUBLE) AS least,
        CAST(max(recency_days) AS DOUBLE) AS most
    FROM customer_rfm
    GROUP BY recency_score
    UNION ALL
    SELECT 'frequency', frequency_score, count(*), CAST(min(frequency) AS DOUBLE), CAST(max(frequency) AS DOUBLE)
    FROM customer_rfm
    GROUP BY frequency_score
    UNION ALL
    SELECT 'monetary', monetary_score, count(*), CAST(min(monetary) AS DOUBLE), CAST(max(monetary) AS DOUBLE)
    FROM customer_rfm
    GROUP BY monetary_score
)

SELECT
    bin.dimension,
    bin.score,
    CASE WHEN bin.binning = 'ntile' THEN scored.least ELSE bin.lower END AS lower,
    CASE WHEN bin.binning = 'ntile' THEN scored.most ELSE bin.upper END AS upper,
    coalesce(scored.customers, 0) AS customers
FROM bin
LEFT JOIN scored ON bin.dimension = scored.dimension AND bin.score = scored.score
ORDER BY dimension, score
