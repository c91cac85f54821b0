-- How many customers and orders there are, how far the customers' values reach, where their quantiles end, and how they spread.
--
-- Grain:      one row
-- Inputs:     valued_customer
-- Parameters: $recency_bins, $frequency_bins, $monetary_bins           scores go from 1 to these
--             $recency_ranges, $frequency_ranges, $monetary_ranges     what customer_quantile_range says, or null
--             $recency_scaling, $frequency_scaling, $monetary_scaling  only for 'z_score' a deviation is needed
-- Formula:    deviation = sqrt(n sum(x^2) - sum(x)^2) / n, exact below the root
SELECT
    count(*) AS customers,
    CAST(coalesce(sum(orders), 0) AS BIGINT) AS orders,
    quantile_edges(recency_days, CAST($recency_bins AS BIGINT), $recency_ranges) AS recency,
    quantile_edges(frequency, CAST($frequency_bins AS BIGINT), $frequency_ranges) AS frequency,
    quantile_edges(monetary, CAST($monetary_bins AS BIGINT), $monetary_ranges) AS monetary,
    min(recency_days) AS least_recency,
    max(recency_days) AS most_recency,
    min(frequency) AS least_frequency,
    max(frequency) AS most_frequency,
    min(monetary) AS least_monetary,
    max(monetary) AS most_monetary,
    CAST(sum(recency_days) AS DOUBLE) / CAST(count(*) AS DOUBLE) AS recency_mean,
    sqrt(
        CAST(
            CAST(count(*) AS DECIMAL(20, 0)) * sum(CASE WHEN $recency_scaling = 'z_score' THEN CAST(recency_days AS DECIMAL(60, 4)) * CAST(recency_days AS DECIMAL(60, 4)) END)
            - CAST(sum(recency_days) AS DECIMAL(60, 4)) * CAST(sum(recency_days) AS DECIMAL(60, 4)) AS DOUBLE
        )
    ) / CAST(count(*) AS DOUBLE) AS recency_deviation,
    CAST(sum(frequency) AS DOUBLE) / CAST(count(*) AS DOUBLE) AS frequency_mean,
    sqrt(
        CAST(
            CAST(count(*) AS DECIMAL(20, 0)) * sum(CASE WHEN $frequency_scaling = 'z_score' THEN CAST(frequency AS DECIMAL(60, 4)) * CAST(frequency AS DECIMAL(60, 4)) END)
            - CAST(sum(frequency) AS DECIMAL(60, 4)) * CAST(sum(frequency) AS DECIMAL(60, 4)) AS DOUBLE
        )
    ) / CAST(count(*) AS DOUBLE) AS frequency_deviation,
    CAST(sum(monetary) AS DOUBLE) / CAST(count(*) AS DOUBLE) AS monetary_mean,
    sqrt(
        CAST(
            CAST(count(*) AS DECIMAL(20, 0)) * sum(CASE WHEN $monetary_scaling = 'z_score' THEN CAST(monetary AS DECIMAL(60, 4)) * CAST(monetary AS DECIMAL(60, 4)) END)
            - CAST(sum(monetary) AS DECIMAL(60, 4)) * CAST(sum(monetary) AS DECIMAL(60, 4)) AS DOUBLE
        )
    ) / CAST(count(*) AS DOUBLE) AS monetary_deviation
FROM valued_customer
