-- The strongest rules: the highest lift first, the most frequent of equals.
--
-- Grain:  a rule
-- Inputs: association_rules
WITH strongest AS (
    SELECT
        *,
        row_number() OVER (ORDER BY lift DESC, support_count DESC, antecedents, consequents) AS place
    FROM association_rules
)

SELECT
    place,
    array_to_string(antecedents, ' + ') AS who_buys,
    array_to_string(consequents, ' + ') AS also_buys,
    support_count AS baskets,
    round(confidence, 3) AS confidence,
    round(lift, 2) AS lift
FROM strongest
WHERE place <= 10
ORDER BY place
