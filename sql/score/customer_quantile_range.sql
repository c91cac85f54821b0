-- In which ranges of values the quantiles of the customers lie: what is not in them need not be brought together.
--
-- Grain:      one row
-- Inputs:     valued_customer
-- Parameters: $recency_bins, $frequency_bins, $monetary_bins   how many bins end at quantiles
SELECT
    quantile_ranges(value_counts(value_range(recency_days)), CAST($recency_bins AS BIGINT)) AS recency,
    quantile_ranges(value_counts(value_range(frequency)), CAST($frequency_bins AS BIGINT)) AS frequency,
    quantile_ranges(value_counts(value_range(monetary)), CAST($monetary_bins AS BIGINT)) AS monetary
FROM valued_customer
