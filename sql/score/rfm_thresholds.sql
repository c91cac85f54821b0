-- Where each score begins and ends, and how many customers have it. A score that no customer has (a bin collapsed by
-- ties) has its row, with 0 customers.
--
-- Grain:      a dimension and a score
-- Inputs:     customer_rfm, customer_range
-- Parameters: $recency_bins, $frequency_bins, $monetary_bins
--             $recency_ends, $frequency_ends, $monetary_ends  'edges' for bins (lower, upper] between the edges of customer_range,
--             'cuts' for those between fixed ones, of which the outer are null, 'values' for the least and most value of a score
--             $recency_cuts, $frequency_cuts, $monetary_cuts
WITH edge AS (
    SELECT
        'recency' AS dimension,
        $recency_ends AS ends,
        CAST($recency_bins AS BIGINT) AS bins,
        unnest(range(1, CAST($recency_bins AS BIGINT) + 1)) AS bin,
        recency['edges'] AS edges,
        CAST($recency_cuts AS DECIMAL(38, 4)[]) AS cuts
    FROM customer_range
    UNION ALL
    SELECT
        'frequency',
        $frequency_ends,
        CAST($frequency_bins AS BIGINT),
        unnest(range(1, CAST($frequency_bins AS BIGINT) + 1)),
        frequency['edges'],
        CAST($frequency_cuts AS DECIMAL(38, 4)[])
    FROM customer_range
    UNION ALL
    SELECT
        'monetary',
        $monetary_ends,
        CAST($monetary_bins AS BIGINT),
        unnest(range(1, CAST($monetary_bins AS BIGINT) + 1)),
        monetary['edges'],
        CAST($monetary_cuts AS DECIMAL(38, 4)[])
    FROM customer_range
),

bin AS (
    SELECT
        dimension,
        ends,
        CAST(CASE WHEN dimension = 'recency' THEN bins + 1 - bin ELSE bin END AS INT) AS score,
        CASE WHEN ends = 'edges' THEN edges[bin] WHEN bin > 1 THEN CAST(cuts[bin] AS DOUBLE) END AS lower,
        CASE WHEN ends = 'edges' THEN edges[bin + 1] WHEN bin < bins THEN CAST(cuts[bin + 1] AS DOUBLE) END AS upper
    FROM edge
),

-- All customers of the same three scores at once, so that they are read once.
cell AS (
    SELECT
        make_array(recency_score, frequency_score, monetary_score) AS scores,
        count(*) AS customers,
        make_array(CAST(min(recency_days) AS DOUBLE), CAST(min(frequency) AS DOUBLE), CAST(min(monetary) AS DOUBLE)) AS least,
        make_array(CAST(max(recency_days) AS DOUBLE), CAST(max(frequency) AS DOUBLE), CAST(max(monetary) AS DOUBLE)) AS most
    FROM customer_rfm
    GROUP BY recency_score, frequency_score, monetary_score
),

scored AS (
    SELECT
        dimension,
        score,
        sum(customers) AS customers,
        min(least) AS least,
        max(most) AS most
    FROM (
        SELECT
            unnest(make_array('recency', 'frequency', 'monetary')) AS dimension,
            unnest(scores) AS score,
            customers,
            unnest(least) AS least,
            unnest(most) AS most
        FROM cell
    ) AS scores_of_cells
    GROUP BY dimension, score
)

SELECT
    bin.dimension,
    bin.score,
    CASE WHEN bin.ends = 'values' THEN scored.least ELSE bin.lower END AS lower,
    CASE WHEN bin.ends = 'values' THEN scored.most ELSE bin.upper END AS upper,
    coalesce(scored.customers, 0) AS customers
FROM bin
LEFT JOIN scored ON bin.dimension = scored.dimension AND bin.score = scored.score
ORDER BY dimension, score
