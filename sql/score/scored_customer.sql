-- Each customer's recency, frequency and monetary value, scored, scaled and weighted into one loyalty score.
--
-- Grain:      a customer
-- Inputs:     customer, segment_grid, loyalty_group (the labels of the groups, numbered from 1, the lowest first)
-- Parameters: $as_of                 the date recency and tenure are measured from
--             $frequency             'orders' or 'days'
--             $bins                  scores go from 1 to $bins, the best highest
--             $recency_binning, $frequency_binning, $monetary_binning   'quantile' or 'ntile'
--             $recency_weight, $frequency_weight, $monetary_weight      they sum to 1
--             $group_count           loyalty groups, by quantile
-- Formula:    scaled = (x - min) / (max - min), recency turned round, 0.5 where all are equal.
--             ntile: worst first, ties by customer_id.
--             quantile (type 7): bin k ends at edge x_j + r / b * (x_{j+1} - x_j), j = k (n - 1) div b, of n sorted values
--             in b bins, and holds its upper edge. The edge lies below x_{j+1} unless that equals x_j, so a value
--             is above edge k exactly when its first copy stands at a position p > j, that is when k (n - 1) < b p.
--             Hence bin = max(1, ceil(b p / (n - 1))) with p = rank - 1: exact, without an edge.
WITH valued AS (
    SELECT
        *,
        -- a date as an integer is its days since 1970
        CAST(CAST($as_of AS DATE) AS INT) - CAST(last_order_date AS INT) AS recency_days,
        CAST(CAST($as_of AS DATE) AS INT) - CAST(first_order_date AS INT) AS tenure_days,
        CASE WHEN $frequency = 'days' THEN active_days ELSE orders END AS frequency
    FROM customer
),

positioned AS (
    SELECT
        *,
        CAST($bins AS BIGINT) AS bins,
        greatest(count(*) OVER () - 1, 1) AS last_position,
        CAST(rank() OVER (ORDER BY recency_days) AS BIGINT) - 1 AS recency_position,
        CAST(rank() OVER (ORDER BY frequency) AS BIGINT) - 1 AS frequency_position,
        CAST(rank() OVER (ORDER BY monetary) AS BIGINT) - 1 AS monetary_position,
        CAST(ntile(CAST($bins AS BIGINT)) OVER (ORDER BY recency_days DESC, customer_id) AS BIGINT) AS recency_tile,
        CAST(ntile(CAST($bins AS BIGINT)) OVER (ORDER BY frequency, customer_id) AS BIGINT) AS frequency_tile,
        CAST(ntile(CAST($bins AS BIGINT)) OVER (ORDER BY monetary, customer_id) AS BIGINT) AS monetary_tile,
        min(recency_days) OVER () AS least_recency,
        max(recency_days) OVER () AS most_recency,
        min(frequency) OVER () AS least_frequency,
        max(frequency) OVER () AS most_frequency,
        min(monetary) OVER () AS least_monetary,
        max(monetary) OVER () AS most_monetary
    FROM valued
),

scored AS (
    SELECT
        *,
        CAST(
            CASE
                WHEN $recency_binning = 'ntile' THEN recency_tile
                ELSE bins + 1 - greatest(1, (bins * recency_position + last_position - 1) / last_position)
            END AS INT
        ) AS recency_score,
        CAST(
            CASE
                WHEN $frequency_binning = 'ntile' THEN frequency_tile
                ELSE greatest(1, (bins * frequency_position + last_position - 1) / last_position)
            END AS INT
        ) AS frequency_score,
        CAST(
            CASE
                WHEN $monetary_binning = 'ntile' THEN monetary_tile
                ELSE greatest(1, (bins * monetary_position + last_position - 1) / last_position)
            END AS INT
        ) AS monetary_score,
        coalesce(
            CAST(most_recency - recency_days AS DOUBLE) / nullif(CAST(most_recency - least_recency AS DOUBLE), 0), 0.5
        ) AS recency_scaled,
        coalesce(
            CAST(frequency - least_frequency AS DOUBLE)
            / nullif(CAST(most_frequency - least_frequency AS DOUBLE), 0), 0.5
        ) AS frequency_scaled,
        coalesce(
            CAST(monetary - least_monetary AS DOUBLE) / nullif(CAST(most_monetary - least_monetary AS DOUBLE), 0), 0.5
        ) AS monetary_scaled
    FROM positioned
),

weighted AS (
    SELECT
        *,
        greatest(0.0, least(1.0,
            CAST($recency_weight AS DOUBLE) * recency_scaled
            + CAST($frequency_weight AS DOUBLE) * frequency_scaled
            + CAST($monetary_weight AS DOUBLE) * monetary_scaled
        )) AS loyalty_score
    FROM scored
),

grouped AS (
    SELECT
        *,
        CAST(rank() OVER (ORDER BY loyalty_score) AS BIGINT) - 1 AS loyalty_position
    FROM weighted
),

numbered AS (
    SELECT
        *,
        greatest(1, (CAST($group_count AS BIGINT) * loyalty_position + last_position - 1) / last_position) AS group_number
    FROM grouped
)

SELECT
    numbered.customer_id,
    numbered.first_order_date,
    numbered.last_order_date,
    numbered.recency_days,
    numbered.tenure_days,
    numbered.orders,
    numbered.active_days,
    numbered.frequency,
    numbered.monetary,
    CAST(numbered.monetary AS DOUBLE) / CAST(numbered.orders AS DOUBLE) AS average_order_value,
    numbered.recency_score,
    numbered.frequency_score,
    numbered.monetary_score,
    concat(numbered.recency_score, numbered.frequency_score, numbered.monetary_score) AS rfm_cell,
    numbered.recency_scaled,
    numbered.frequency_scaled,
    numbered.monetary_scaled,
    numbered.loyalty_score,
    loyalty_group.loyalty_group,
    segment_grid.segment
FROM numbered
LEFT JOIN loyalty_group ON numbered.group_number = loyalty_group.group_number
LEFT JOIN segment_grid
    ON
        numbered.recency_score BETWEEN segment_grid.recency_from AND segment_grid.recency_to
        AND numbered.frequency_score BETWEEN segment_grid.frequency_from AND segment_grid.frequency_to
