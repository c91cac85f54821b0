-- Every item of every rule is listed once on its side.
SELECT *
FROM (
    SELECT rule_id, CAST(array_length(antecedents) + array_length(consequents) AS BIGINT) AS items FROM association_rules
) AS rule
FULL OUTER JOIN (
    SELECT rule_id, count(*) AS items FROM (SELECT DISTINCT rule_id, side, item_id FROM rule_items) GROUP BY rule_id
) AS listed ON rule.rule_id = listed.rule_id
WHERE rule.items IS DISTINCT FROM listed.items
