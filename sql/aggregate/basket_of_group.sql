-- The baskets of one group of rules.by.
--
-- Grain:      an order in the group, where it holds at least one coded item
-- Inputs:     grouped_basket
-- Parameters: $group_number
SELECT items
FROM grouped_basket
WHERE group_number = CAST($group_number AS BIGINT)
