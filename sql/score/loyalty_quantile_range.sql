-- In which ranges of values the quantiles of the loyalty score lie: what is not in them need not be brought together.
--
-- Grain:      one row
-- Inputs:     weighted_customer
-- Parameters: $group_count  loyalty groups, by quantile
SELECT quantile_ranges(value_counts(value_range(loyalty_score)), CAST($group_count AS BIGINT)) AS loyalty
FROM weighted_customer
