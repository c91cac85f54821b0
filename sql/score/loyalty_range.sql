-- Where the quantiles of the loyalty score end.
--
-- Grain:      one row
-- Inputs:     weighted_customer
-- Parameters: $group_count     loyalty groups, by quantile
--             $loyalty_ranges  what loyalty_quantile_range says, or null
SELECT quantile_edges(loyalty_score, CAST($group_count AS BIGINT), $loyalty_ranges) AS loyalty
FROM weighted_customer
