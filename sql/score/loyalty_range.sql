-- Where the quantiles of the loyalty score end.
--
-- Grain:      one row
-- Inputs:     weighted_customer
-- Parameters: $group_count  loyalty groups, by quantile
SELECT quantile_edges(loyalty_score, CAST($group_count AS BIGINT)) AS loyalty
FROM weighted_customer
