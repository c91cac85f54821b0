-- The candidates that are frequent: the next level.
--
-- Grain:      a frequent itemset of the candidates' length
-- Inputs:     candidate, candidate_count
-- Parameters: $min_support_count
WITH counted AS (
    SELECT
        unnest(range(0, array_length(support_counts))) AS itemset_number,
        unnest(support_counts) AS support_count
    FROM candidate_count
)

SELECT
    candidate.itemset_number,
    candidate.prefix_number,
    candidate.last_item,
    candidate.items,
    counted.support_count
FROM candidate
INNER JOIN counted ON candidate.itemset_number = counted.itemset_number
WHERE counted.support_count >= CAST($min_support_count AS BIGINT)
