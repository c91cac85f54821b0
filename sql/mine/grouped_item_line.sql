-- How many lines each item has in the groups where it may be frequent, as item_line.sql has it where there are no groups.
--
-- Grain:  an item that may be frequent in some group
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
    CAST(sum(counted.counted['count']) AS BIGINT) AS lines
FROM basket_group
INNER JOIN counted ON basket_group.group_key = counted.group_key
WHERE counted.counted['count'] >= basket_group.min_support_count
GROUP BY counted.counted['value']
