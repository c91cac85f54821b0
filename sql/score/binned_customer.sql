-- Each customer's recency, frequency and monetary value with their scores.
--
-- Grain:      a customer
-- Inputs:     placed_customer, customer_range
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
WITH recency_scored AS (
    SELECT
        *,
        CAST(
            CASE
                WHEN $recency_binning = 'ntile'
                    THEN tile(recency_place, all_customers, CAST($recency_bins AS BIGINT))
                WHEN $recency_binning = 'fixed'
                    THEN
                        CAST($recency_bins AS BIGINT) + 1
                        - quantile_bin(CAST(recency_days AS DECIMAL(38, 4)), CAST($recency_cuts AS DECIMAL(38, 4)[]))
                WHEN $recency_binning = 'percent_rank'
                    THEN
                        CAST($recency_bins AS BIGINT)
                        - least(
                            CAST($recency_bins AS BIGINT) - 1,
                            CAST($recency_bins AS BIGINT) * (all_customers - recency_worse - recency_equal) / greatest(all_customers - 1, 1)
                        )
                ELSE
                    CAST($recency_bins AS BIGINT) + 1
                    - quantile_bin(recency_days, (SELECT shared(recency['values']) FROM customer_range))
            END AS INT
        ) AS recency_score
    FROM placed_customer
),

frequency_placed AS (
    SELECT
        *,
        CASE
            WHEN CAST($nested AS BOOLEAN) THEN greatest(count(*) OVER (PARTITION BY recency_score) - 1, 1)
            ELSE greatest(all_customers - 1, 1)
        END AS frequency_last_place,
        CASE
            WHEN CAST($nested AS BOOLEAN)
                THEN CAST(rank() OVER (PARTITION BY recency_score ORDER BY frequency) AS BIGINT) - 1
            ELSE frequency_worse
        END AS lower_frequencies,
        CASE
            WHEN CAST($nested AS BOOLEAN)
                THEN
                    CAST(
                        ntile(CAST($frequency_bins AS BIGINT)) OVER (
                            PARTITION BY recency_score ORDER BY frequency, customer_id
                        ) AS BIGINT
                    )
            ELSE tile(frequency_place, all_customers, CAST($frequency_bins AS BIGINT))
        END AS frequency_tile
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
                            CAST($frequency_bins AS BIGINT) * lower_frequencies / frequency_last_place + 1
                        )
                WHEN CAST($nested AS BOOLEAN)
                    THEN
                        greatest(
                            1,
                            (CAST($frequency_bins AS BIGINT) * lower_frequencies + frequency_last_place - 1)
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
        CASE
            WHEN CAST($nested AS BOOLEAN) THEN greatest(count(*) OVER (PARTITION BY recency_score, frequency_score) - 1, 1)
            ELSE greatest(all_customers - 1, 1)
        END AS monetary_last_place,
        CASE
            WHEN CAST($nested AS BOOLEAN)
                THEN CAST(rank() OVER (PARTITION BY recency_score, frequency_score ORDER BY monetary) AS BIGINT) - 1
            ELSE monetary_worse
        END AS lower_amounts,
        CASE
            WHEN CAST($nested AS BOOLEAN)
                THEN
                    CAST(
                        ntile(CAST($monetary_bins AS BIGINT)) OVER (
                            PARTITION BY recency_score, frequency_score ORDER BY monetary, customer_id
                        ) AS BIGINT
                    )
            ELSE tile(monetary_place, all_customers, CAST($monetary_bins AS BIGINT))
        END AS monetary_tile
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
                            CAST($monetary_bins AS BIGINT) * lower_amounts / monetary_last_place + 1
                        )
                WHEN CAST($nested AS BOOLEAN)
                    THEN
                        greatest(
                            1,
                            (CAST($monetary_bins AS BIGINT) * lower_amounts + monetary_last_place - 1)
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
    monetary_score,
    all_customers,
    recency_worse,
    recency_equal,
    frequency_worse,
    frequency_equal,
    monetary_worse,
    monetary_equal
FROM monetary_scored
