-- How far the customers' values reach, and where their quantiles end.
--
-- Grain:      one row
-- Inputs:     valued_customer
-- Parameters: $recency_bins, $frequency_bins, $monetary_bins  scores go from 1 to these
SELECT
    quantile_edges(recency_days, CAST($recency_bins AS BIGINT)) AS recency,
    quantile_edges(frequency, CAST($frequency_bins AS BIGINT)) AS frequency,
    quantile_edges(monetary, CAST($monetary_bins AS BIGINT)) AS monetary,
    min(recency_days) AS least_recency,
    max(recency_days) AS most_recency,
    min(frequency) AS least_frequency,
    max(frequency) AS most_frequency,
    min(monetary) AS least_monetary,
    max(monetary) AS most_monetary
FROM valued_customer
