-- How many lines each item has in each group of rules.by, as item_line.sql has it where there are no groups.
--
-- Grain:  an item in a group, in each bucket of orders that group_tally has
-- Inputs: group_tally, basket_group (registered: each group's number and its least number of baskets of a frequent itemset)
WITH counted AS (
    SELECT
        group_key,
        unnest(item_lines) AS counted
    FROM group_tally
)

SELECT
    counted.counted['value'] AS line_item_id,
    arrow_cast(counted.counted['value'], 'Utf8') AS item_id,
    basket_group.group_number,
    counted.counted['count'] AS lines,
    basket_group.min_support_count
FROM basket_group
INNER JOIN counted ON basket_group.group_key = counted.group_key
