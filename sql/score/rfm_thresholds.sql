-- Where each score begins and ends, and how many customers have it. A score that no customer has (a bin collapsed by
-- ties) has its row, with 0 customers.
--
-- Grain:      a dimension and a score
-- Inputs:     scored_customer
-- Parameters: $bins, $recency_binning, $frequency_binning, $monetary_binning
-- Formula:    quantile: bins (lower, upper] between edges of type 7: ((b - r) x_j + r x_{j+1}) / b for edge k of b bins over
--             n sorted values, j = k (n - 1) div b, r = k (n - 1) mod b, in decimals. ntile: least and most of the tile.
WITH dimension_value AS (
    SELECT
        'recency' AS dimension,
        $recency_binning AS binning,
        recency_score AS score,
        CAST(recency_days AS DECIMAL(38, 4)) AS value
    FROM scored_customer
    UNION ALL
    SELECT 'frequency', $frequency_binning, frequency_score, CAST(frequency AS DECIMAL(38, 4)) FROM scored_customer
    UNION ALL
    SELECT 'monetary', $monetary_binning, monetary_score, monetary FROM scored_customer
),

positioned AS (
    SELECT
        dimension,
        binning,
        value,
        CAST(row_number() OVER (PARTITION BY dimension ORDER BY value) AS BIGINT) - 1 AS position,
        count(*) OVER (PARTITION BY dimension) - 1 AS last_position
    FROM dimension_value
),

edge AS (
    SELECT
        positioned.dimension,
        positioned.binning,
        edge_number.edge,
        CAST(
            (
                CAST(CAST($bins AS BIGINT) - edge_number.edge * max(positioned.last_position) % CAST($bins AS BIGINT) AS DECIMAL(10, 0))
                * min(positioned.value)
                + CAST(edge_number.edge * max(positioned.last_position) % CAST($bins AS BIGINT) AS DECIMAL(10, 0))
                * max(positioned.value)
            ) / CAST($bins AS DECIMAL(10, 0)) AS DOUBLE
        ) AS value
    FROM positioned
    CROSS JOIN (SELECT unnest(range(0, CAST($bins AS BIGINT) + 1)) AS edge) AS edge_number
    WHERE
        positioned.position - edge_number.edge * positioned.last_position / CAST($bins AS BIGINT) BETWEEN 0 AND 1
    GROUP BY positioned.dimension, positioned.binning, edge_number.edge
),

bin AS (
    SELECT
        dimension,
        binning,
        CASE WHEN dimension = 'recency' THEN CAST($bins AS BIGINT) - edge ELSE edge + 1 END AS score,
        value AS lower,
        lead(value) OVER (PARTITION BY dimension ORDER BY edge) AS upper,
        edge
    FROM edge
),

scored AS (
    SELECT
        dimension,
        score,
        count(*) AS customers,
        CAST(min(value) AS DOUBLE) AS least,
        CAST(max(value) AS DOUBLE) AS most
    FROM dimension_value
    GROUP BY dimension, score
)

SELECT
    bin.dimension,
    CAST(bin.score AS INT) AS score,
    CASE WHEN bin.binning = 'ntile' THEN scored.least ELSE bin.lower END AS lower,
    CASE WHEN bin.binning = 'ntile' THEN scored.most ELSE bin.upper END AS upper,
    coalesce(scored.customers, 0) AS customers
FROM bin
LEFT JOIN scored ON bin.dimension = scored.dimension AND bin.score = scored.score
WHERE bin.edge < CAST($bins AS BIGINT)
ORDER BY dimension, score
