-- Rules with one item more in the consequent: moved over from the antecedent of a confident rule.
--
-- Grain:   a confident rule and an item of its antecedent that may be a consequent
-- Inputs:  confident_level (the confident rules whose consequents are one item shorter), item_side
-- Formula: moving an item from antecedent to consequent cannot raise confidence, so rules that fail need no extension;
--          only an item above the last of the consequent is moved, so each rule comes from one.
WITH long_antecedent AS (
    SELECT
        *,
        CAST(array_length(antecedent_items) AS BIGINT) AS length
    FROM confident_level
    WHERE array_length(antecedent_items) >= 2
),

placed AS (
    SELECT
        *,
        unnest(range(1, length + 1)) AS place
    FROM long_antecedent
),

extended AS (
    SELECT
        array_concat(
            array_slice(antecedent_items, 1, place - 1), array_slice(antecedent_items, place + 1, length)
        ) AS antecedent_items,
        array_append(consequent_items, antecedent_items[place]) AS consequent_items,
        array_slice(antecedent_items, place, place) AS moved_item,
        support_count
    FROM placed
    WHERE antecedent_items[place] > consequent_items[-1]
)

SELECT
    antecedent_items,
    consequent_items,
    support_count
FROM extended
WHERE items_in(moved_item, (SELECT shared(array_agg(item_number)) FROM item_side WHERE may_be_consequent)) = 1
