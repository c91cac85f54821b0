-- Each customer's recency, frequency and monetary value, scored, scaled and weighted into one loyalty score.
--
-- Grain:      a customer
-- Inputs:     valued_customer, customer_range
-- Parameters: $bins   scores go from 1 to $bins, the best highest
--             $recency_binning, $frequency_binning, $monetary_binning   'quantile' or 'ntile'
--             $recency_weight, $frequency_weight, $monetary_weight      they sum to 1
-- Formula:    scaled = (x - min) / (max - min), recency turned round, 0.5 where all are equal.
--             ntile: worst first, ties by customer_id.
--             quantile (type 7): bin k of b ends at ((b - r) x_j + r x_{j+1}) / b with j = k (n - 1) div b and r = k (n - 1) mod b,
--             of n sorted values, and holds its upper edge. The edge lies below x_{j+1} unless that equals x_j, so a value is
--             above it exactly when it is above x_j: exact, without an edge. (quantile_edges, quantile_bin.)
WITH tiled AS (
    SELECT
        *,
        CAST(ntile(CAST($bins AS BIGINT)) OVER (ORDER BY recency_days DESC, customer_id) AS BIGINT) AS recency_tile,
        CAST(ntile(CAST($bins AS BIGINT)) OVER (ORDER BY frequency, customer_id) AS BIGINT) AS frequency_tile,
        CAST(ntile(CAST($bins AS BIGINT)) OVER (ORDER BY monetary, customer_id) AS BIGINT) AS monetary_tile
    FROM valued_customer
),

scored AS (
    SELECT
        tiled.*,
        CAST(
            CASE
                WHEN $recency_binning = 'ntile' THEN tiled.recency_tile
                ELSE
                    CAST($bins AS BIGINT) + 1
                    - quantile_bin(tiled.recency_days, (SELECT shared(recency['values']) FROM customer_range))
            END AS INT
        ) AS recency_score,
        CAST(
            CASE
                WHEN $frequency_binning = 'ntile' THEN tiled.frequency_tile
                ELSE quantile_bin(tiled.frequency, (SELECT shared(frequency['values']) FROM customer_range))
            END AS INT
        ) AS frequency_score,
        CAST(
            CASE
                WHEN $monetary_binning = 'ntile' THEN tiled.monetary_tile
                ELSE quantile_bin(tiled.monetary, (SELECT shared(monetary['values']) FROM customer_range))
            END AS INT
        ) AS monetary_score,
        coalesce(
            CAST(reach.most_recency - tiled.recency_days AS DOUBLE)
            / nullif(CAST(reach.most_recency - reach.least_recency AS DOUBLE), 0), 0.5
        ) AS recency_scaled,
        coalesce(
            CAST(tiled.frequency - reach.least_frequency AS DOUBLE)
            / nullif(CAST(reach.most_frequency - reach.least_frequency AS DOUBLE), 0), 0.5
        ) AS frequency_scaled,
        coalesce(
            CAST(tiled.monetary - reach.least_monetary AS DOUBLE)
            / nullif(CAST(reach.most_monetary - reach.least_monetary AS DOUBLE), 0), 0.5
        ) AS monetary_scaled
    FROM (
        SELECT
            least_recency,
            most_recency,
            least_frequency,
            most_frequency,
            least_monetary,
            most_monetary
        FROM customer_range
    ) AS reach
    CROSS JOIN tiled
)

SELECT
    *,
    greatest(0.0, least(1.0,
        CAST($recency_weight AS DOUBLE) * recency_scaled
        + CAST($frequency_weight AS DOUBLE) * frequency_scaled
        + CAST($monetary_weight AS DOUBLE) * monetary_scaled
    )) AS loyalty_score
FROM scored
