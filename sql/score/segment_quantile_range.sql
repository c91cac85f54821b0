-- In which ranges of money the median of each segment lies: what is not in them need not be brought together.
--
-- Grain:      a segment
-- Inputs:     scored_customer
-- Parameters: $segments_ranged  whether it is asked for; else there is no row
SELECT
    segment,
    quantile_ranges(value_counts(value_range(monetary)), 2) AS monetary
FROM scored_customer
WHERE CAST($segments_ranged AS BOOLEAN)
GROUP BY segment
