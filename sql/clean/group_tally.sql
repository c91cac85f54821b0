-- What one pass over the lines tells of the baskets of each group that rules.by makes.
--
-- Grain:  a group
-- Inputs: grouped_line (registered: line, with group_key, a struct of all columns of rules.by)
SELECT
    group_key,
    distinct_count(order_id) AS baskets,
    value_counts(item_id) AS item_lines
FROM grouped_line
WHERE item_id IS NOT NULL AND NOT is_refund
GROUP BY group_key
