-- Which rules an item stands in, on which side: for looking rules up by item.
--
-- Grain:  an item of a rule
-- Inputs: association_rules
WITH sided AS (
    SELECT
        CASE WHEN rule_side.side = 'antecedent' THEN association_rules.antecedents ELSE association_rules.consequents END AS items,
        rule_side.side,
        association_rules.rule_id
    FROM (VALUES ('antecedent'), ('consequent')) AS rule_side (side)
    CROSS JOIN association_rules
)

SELECT
    unnest(items) AS item_id,
    side,
    rule_id
FROM sided
ORDER BY item_id, side, rule_id
