-- Each customer's recency, frequency and monetary value with their scores.
--
-- Grain:      a customer
-- Inputs:     valued_customer, customer_range
-- Parameters: $recency_bins, $frequency_bins, $monetary_bins            scores go from 1 to these, the best highest
--             $recency_binning, $frequency_binning, $monetary_binning   'quantile', 'ntile', 'percent_rank' or 'fixed'
--             $recency_cuts, $frequency_cuts, $monetary_cuts            where fixed bins end, between two numbers that do not count
--             $nested                                                   whether frequency is binned within recency scores, money within both
-- Formula:    Bins of b, of n values sorted, of which p are less than x (recency in days, so that its score is b + 1 - bin):
--             ntile: worst first, ties by customer_id.  fixed: (lower, upper].
--             percent_rank: min(b, floor(b p / (n - 1)) + 1), so [lower, upper).
--             quantile (type 7): bin k ends at ((b - r) x_j + r x_{j+1}) / b with j = k (n - 1) div b and r = k (n - 1) mod b, and
--             holds its upper edge. The edge lies below x_{j+1} unless that equals x_j, so x is above it exactly when it is
--             above x_j, or when p > j: exact, without an edge. (quantile_edges, quantile_bin.) Hence within a score, where
--             nested, the bin is max(1, ceil(b p / (n - 1))).
WITH recency_placed AS (
    SELECT
        *,
        greatest(count(*) OVER () - 1, 1) AS last_place,
        CAST(rank() OVER (ORDER BY recency_days) AS BIGINT) - 1 AS recency_place,
        CAST(ntile(CAST($recency_bins AS BIGINT)) OVER (ORDER BY recency_days DESC, customer_id) AS BIGINT) AS recency_tile
    FROM valued_customer
),

recency_scored AS (
    SELECT
        *,
        CAST(
            CASE
                WHEN $recency_binning = 'ntile' THEN recency_tile
                WHEN $recency_binning = 'fixed'
                    THEN
                        CAST($recency_bins AS BIGINT) + 1
                        - quantile_bin(CAST(recency_days AS DECIMAL(38, 4)), CAST($recency_cuts AS DECIMAL(38, 4)[]))
                WHEN $recency_binning = 'percent_rank'
                    THEN
                        CAST($recency_bins AS BIGINT)
                        - least(CAST($recency_bins AS BIGINT) - 1, CAST($recency_bins AS BIGINT) * recency_place / last_place)
                ELSE
                    CAST($recency_bins AS BIGINT) + 1
                    - quantile_bin(recency_days, (SELECT shared(recency['values']) FROM customer_range))
            END AS INT
        ) AS recency_score
    FROM recency_placed
),

frequency_placed AS (
    SELECT
        *,
        greatest(
            count(*) OVER (PARTITION BY CASE WHEN CAST($nested AS BOOLEAN) THEN recency_score END) - 1, 1
        ) AS frequency_last_place,
        CAST(
            rank() OVER (PARTITION BY CASE WHEN CAST($nested AS BOOLEAN) THEN recency_score END ORDER BY frequency) AS BIGINT
        ) - 1 AS frequency_place,
        CAST(
            ntile(CAST($frequency_bins AS BIGINT)) OVER (
                PARTITION BY CASE WHEN CAST($nested AS BOOLEAN) THEN recency_score END ORDER BY frequency, customer_id
            ) AS BIGINT
        ) AS frequency_tile
    FROM recency_scored
),

frequency_scored AS (
    SELECT
        *,
        CAST(
            CASE
                WHEN $frequency_binning = 'ntile' THEN frequency_tile
                WHEN $frequency_binning = 'fixed'
                    THEN quantile_bin(CAST(frequency AS DECIMAL(38, 4)), CAST($frequency_cuts AS DECIMAL(38, 4)[]))
                WHEN $frequency_binning = 'percent_rank'
                    THEN
                        least(
                            CAST($frequency_bins AS BIGINT),
                            CAST($frequency_bins AS BIGINT) * frequency_place / frequency_last_place + 1
                        )
                WHEN CAST($nested AS BOOLEAN)
                    THEN
                        greatest(
                            1,
                            (CAST($frequency_bins AS BIGINT) * frequency_place + frequency_last_place - 1)
                            / frequency_last_place
                        )
                ELSE quantile_bin(frequency, (SELECT shared(frequency['values']) FROM customer_range))
            END AS INT
        ) AS frequency_score
    FROM frequency_placed
),

monetary_placed AS (
    SELECT
        *,
        greatest(
            count(*) OVER (
                PARTITION BY
                    CASE WHEN CAST($nested AS BOOLEAN) THEN recency_score END,
                    CASE WHEN CAST($nested AS BOOLEAN) THEN frequency_score END
            ) - 1, 1
        ) AS monetary_last_place,
        CAST(
            rank() OVER (
                PARTITION BY
                    CASE WHEN CAST($nested AS BOOLEAN) THEN recency_score END,
                    CASE WHEN CAST($nested AS BOOLEAN) THEN frequency_score END
                ORDER BY monetary
            ) AS BIGINT
        ) - 1 AS monetary_place,
        CAST(
            ntile(CAST($monetary_bins AS BIGINT)) OVER (
                PARTITION BY
                    CASE WHEN CAST($nested AS BOOLEAN) THEN recency_score END,
                    CASE WHEN CAST($nested AS BOOLEAN) THEN frequency_score END
                ORDER BY monetary, customer_id
            ) AS BIGINT
        ) AS monetary_tile
    FROM frequency_scored
),

monetary_scored AS (
    SELECT
        *,
        CAST(
            CASE
                WHEN $monetary_binning = 'ntile' THEN monetary_tile
                WHEN $monetary_binning = 'fixed' THEN quantile_bin(monetary, CAST($monetary_cuts AS DECIMAL(38, 4)[]))
                WHEN $monetary_binning = 'percent_rank'
                    THEN
                        least(
                            CAST($monetary_bins AS BIGINT),
                            CAST($monetary_bins AS BIGINT) * monetary_place / monetary_last_place + 1
                        )
                WHEN CAST($nested AS BOOLEAN)
                    THEN
                        greatest(
                            1,
                            (CAST($monetary_bins AS BIGINT) * monetary_place + monetary_last_place - 1)
                            / monetary_last_place
                        )
                ELSE quantile_bin(monetary, (SELECT shared(monetary['values']) FROM customer_range))
            END AS INT
        ) AS monetary_score
    FROM monetary_placed
)

SELECT
    customer_id,
    first_order_date,
    last_order_date,
    recency_days,
    tenure_days,
    orders,
    active_days,
    frequency,
    monetary,
    revenue,
    average_order_value,
    recency_score,
    frequency_score,
    monetary_score
FROM monetary_scored
