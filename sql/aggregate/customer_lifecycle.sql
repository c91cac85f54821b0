-- How far customers are in their time with the shop: new, active, lapsing, lapsed or reactivated.
--
-- Grain:      a customer with at least one order
-- Inputs:     line
-- Parameters: $window_start               the first moment whose orders count; null for all
--             $as_of                      the date that days are counted up to
--             $lifecycle                  'thresholds', or 'rhythm' where customers with two days of orders go by their own
--             $new_days, $lapsing_days, $lapsed_days    the thresholds
--             $lapsing_gaps, $lapsed_gaps  what a customer's mean gap is multiplied by
--             $pseudonymise               whether ids are published as pseudonyms
-- Formula:    a gap is the days between two days with orders that follow one another. mean_gap_days = (last - first) / (days - 1).
--             lapsing_after_days and lapsed_after_days are thresholds, or multiples of mean_gap_days. The first that holds:
--             lapsed: no order for more than lapsed_after_days.  lapsing: for more than lapsing_after_days.
--             new: first order at most $new_days ago.
--             reactivated: back after a last gap of more days than make a customer lapsed, by the mean of the gaps before it where
--             rhythm counts and there are any.
--             active: all others.
WITH order_day AS (
    SELECT
        customer_id,
        CAST(CAST(order_ts AS DATE) AS INT) AS order_day
    FROM line
    WHERE customer_id IS NOT NULL AND NOT is_refund AND ((order_ts < $window_start) IS DISTINCT FROM true)
    GROUP BY 1, 2
),

placed AS (
    SELECT
        customer_id,
        order_day AS last_day,
        row_number() OVER (PARTITION BY customer_id ORDER BY order_day DESC) AS place,
        lead(order_day) OVER (PARTITION BY customer_id ORDER BY order_day DESC) AS day_before,
        min(order_day) OVER (PARTITION BY customer_id) AS first_day,
        count(*) OVER (PARTITION BY customer_id) AS active_days
    FROM order_day
),

rhythm AS (
    SELECT
        customer_id,
        first_day,
        last_day,
        active_days,
        last_day - day_before AS last_gap_days,
        CAST(CAST($as_of AS DATE) AS INT) - last_day AS recency_days,
        CAST(CAST($as_of AS DATE) AS INT) - first_day AS tenure_days,
        CAST(last_day - first_day AS DOUBLE) / nullif(CAST(active_days - 1 AS DOUBLE), 0) AS mean_gap_days,
        CAST(day_before - first_day AS DOUBLE) / nullif(CAST(active_days - 2 AS DOUBLE), 0) AS earlier_gap_days
    FROM placed
    WHERE place = 1
),

bounded AS (
    SELECT
        *,
        coalesce(
            CASE WHEN $lifecycle = 'rhythm' THEN CAST($lapsing_gaps AS DOUBLE) * mean_gap_days END, CAST($lapsing_days AS DOUBLE)
        ) AS lapsing_after_days,
        coalesce(
            CASE WHEN $lifecycle = 'rhythm' THEN CAST($lapsed_gaps AS DOUBLE) * mean_gap_days END, CAST($lapsed_days AS DOUBLE)
        ) AS lapsed_after_days,
        coalesce(
            CASE WHEN $lifecycle = 'rhythm' THEN CAST($lapsed_gaps AS DOUBLE) * earlier_gap_days END, CAST($lapsed_days AS DOUBLE)
        ) AS reactivated_after_days
    FROM rhythm
)

SELECT
    CASE
        WHEN CAST($pseudonymise AS BOOLEAN) THEN pseudonym(arrow_cast(customer_id, 'Utf8'))
        ELSE arrow_cast(customer_id, 'Utf8')
    END AS customer_id,
    CASE
        WHEN recency_days > lapsed_after_days THEN 'lapsed'
        WHEN recency_days > lapsing_after_days THEN 'lapsing'
        WHEN tenure_days <= CAST($new_days AS BIGINT) THEN 'new'
        WHEN last_gap_days > reactivated_after_days THEN 'reactivated'
        ELSE 'active'
    END AS lifecycle_stage,
    recency_days,
    tenure_days,
    active_days,
    last_gap_days,
    mean_gap_days,
    lapsing_after_days,
    lapsed_after_days
FROM bounded
ORDER BY customer_id
