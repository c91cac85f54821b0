-- How many itemsets of each kind there are, for the number of ways to split them into rules.
--
-- Grain:      a length, a number of items that must lead and of those that must follow
-- Inputs:     itemset_support, item_side (an item that may stand on neither side makes its itemsets no rules)
-- Parameters: $min_length  items in a rule, at least
WITH sided AS (
    SELECT
        CAST(array_length(items) AS BIGINT) AS length,
        CAST(array_length(items) AS BIGINT)
        - items_in(items, (SELECT shared(array_agg(item_number)) FROM item_side WHERE may_be_consequent)) AS must_lead,
        CAST(array_length(items) AS BIGINT)
        - items_in(items, (SELECT shared(array_agg(item_number)) FROM item_side WHERE may_be_antecedent)) AS must_follow,
        items_in(
            items, (SELECT shared(array_agg(item_number)) FROM item_side WHERE may_be_antecedent OR may_be_consequent)
        ) AS on_a_side
    FROM itemset_support
    WHERE array_length(items) >= greatest(2, CAST($min_length AS BIGINT))
)

SELECT
    length,
    must_lead,
    must_follow,
    count(*) AS itemsets
FROM sided
WHERE on_a_side = length
GROUP BY length, must_lead, must_follow
