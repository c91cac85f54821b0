-- Every frequent itemset split in two: one item as consequent, the others as antecedent.
--
-- Grain:      an itemset of at least two items and one of its items that may be a consequent
-- Inputs:     itemset_support, item_side
-- Parameters: $min_length  items in a rule, at least
WITH long_itemset AS (
    SELECT
        items,
        support_count,
        CAST(array_length(items) AS BIGINT) AS length
    FROM itemset_support
    WHERE array_length(items) >= greatest(2, CAST($min_length AS BIGINT))
),

placed AS (
    SELECT
        *,
        unnest(range(1, length + 1)) AS place
    FROM long_itemset
),

split AS (
    SELECT
        array_concat(array_slice(items, 1, place - 1), array_slice(items, place + 1, length)) AS antecedent_items,
        array_slice(items, place, place) AS consequent_items,
        support_count
    FROM placed
)

SELECT *
FROM split
WHERE items_in(consequent_items, (SELECT shared(array_agg(item_number)) FROM item_side WHERE may_be_consequent)) = 1
