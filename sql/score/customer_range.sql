-- How far the customers' values reach, and where their quantiles end.
--
-- Grain:      one row
-- Inputs:     valued_customer
-- Parameters: $bins  scores go from 1 to $bins
SELECT
    quantile_edges(recency_days, CAST($bins AS BIGINT)) AS recency,
    quantile_edges(frequency, CAST($bins AS BIGINT)) AS frequency,
    quantile_edges(monetary, CAST($bins AS BIGINT)) AS monetary,
    min(recency_days) AS least_recency,
    max(recency_days) AS most_recency,
    min(frequency) AS least_frequency,
    max(frequency) AS most_frequency,
    min(monetary) AS least_monetary,
    max(monetary) AS most_monetary
FROM valued_customer
