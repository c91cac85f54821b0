-- The splits that are confident enough, with the counts of both sides.
--
-- Grain:      a rule
-- Inputs:     rule_split, itemset_support
-- Parameters: $min_confidence
-- Formula:    confidence = support_count / antecedent_count
SELECT
    rule_split.*,
    antecedent.support_count AS antecedent_count,
    consequent.support_count AS consequent_count
FROM rule_split
INNER JOIN itemset_support AS antecedent ON rule_split.antecedent_items = antecedent.items
INNER JOIN itemset_support AS consequent ON rule_split.consequent_items = consequent.items
WHERE
    CAST(rule_split.support_count AS DOUBLE) / CAST(antecedent.support_count AS DOUBLE)
    >= CAST($min_confidence AS DOUBLE)
