-- How many baskets each group of rules.by has.
--
-- Grain:  a group
-- Inputs: group_tally
SELECT
    group_key,
    CAST(sum(baskets) AS BIGINT) AS baskets
FROM group_tally
GROUP BY group_key
