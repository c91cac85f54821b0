-- Which rules an item stands in, on which side: for looking rules up by item.
--
-- Grain:  an item of a rule
-- Inputs: association_rules
SELECT
    item_id,
    side,
    rule_id
FROM (
    SELECT unnest(antecedents) AS item_id, 'antecedent' AS side, rule_id FROM association_rules
    UNION ALL
    SELECT unnest(consequents) AS item_id, 'consequent' AS side, rule_id FROM association_rules
)
ORDER BY item_id, side, rule_id
