-- The splits that are confident enough, with the counts of both sides.
--
-- Grain:      a rule
-- Inputs:     rule_split, itemset_index
-- Parameters: $min_confidence
-- Formula:    confidence = support_count / antecedent_count
WITH counted AS (
    SELECT
        *,
        rule_counts(
            antecedent_items, consequent_items, (SELECT shared(supports) FROM itemset_index)
        ) AS counts
    FROM rule_split
)

SELECT
    antecedent_items,
    consequent_items,
    support_count,
    counts['antecedent_count'] AS antecedent_count,
    counts['consequent_count'] AS consequent_count
FROM counted
WHERE
    CAST(support_count AS DOUBLE) / CAST(counts['antecedent_count'] AS DOUBLE) >= CAST($min_confidence AS DOUBLE)
