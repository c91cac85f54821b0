-- Pairs of an item and a category of its: no itemset holds both, since the second says nothing beside the first.
--
-- Grain:  a pair of coded items, the more frequent first
-- Inputs: item, item_ancestor (registered: items and categories of rules.hierarchy with each of their categories)
SELECT
    least(item.item, ancestor.item) AS first_item,
    greatest(item.item, ancestor.item) AS second_item
FROM item_ancestor
INNER JOIN item ON item_ancestor.item_id = item.item_id
INNER JOIN item AS ancestor ON item_ancestor.ancestor_id = ancestor.item_id
ORDER BY first_item, second_item
