-- The strongest rules: the highest lift first, the most frequent of equals.
--
-- Grain:  a rule
-- Inputs: association_rules
SELECT
    array_to_string(antecedents, ' + ') AS who_buys,
    array_to_string(consequents, ' + ') AS also_buys,
    support_count AS baskets,
    round(confidence, 3) AS confidence,
    round(lift, 2) AS lift
FROM association_rules
ORDER BY association_rules.lift DESC, support_count DESC, antecedents, consequents
LIMIT 10
