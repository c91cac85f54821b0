-- A rule's sides are frequent itemsets without an item in common, and its counts are theirs, where they are long enough to be
-- published.
SELECT association_rules.*
FROM association_rules
LEFT JOIN frequent_itemsets AS antecedent ON association_rules.antecedents = antecedent.itemset
LEFT JOIN frequent_itemsets AS consequent ON association_rules.consequents = consequent.itemset
WHERE
    (
        array_length(association_rules.antecedents) >= CAST($min_length AS BIGINT)
        AND association_rules.antecedent_count IS DISTINCT FROM antecedent.support_count
    )
    OR (
        array_length(association_rules.consequents) >= CAST($min_length AS BIGINT)
        AND association_rules.consequent_count IS DISTINCT FROM consequent.support_count
    )
    OR array_has_any(association_rules.antecedents, association_rules.consequents)
