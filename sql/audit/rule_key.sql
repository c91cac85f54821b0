-- A rule has one row, and its id is its own.
SELECT rule_id, count(*) AS rows
FROM association_rules
GROUP BY rule_id
HAVING count(*) > 1
