-- What the items of the lines stand for in baskets: themselves and, with rules.hierarchy, their categories at every level.
--
-- Grain:  an item of the lines in a group, and an item or category that it stands for
-- Inputs: item_line (with rules.by: grouped_item_line), hierarchy_node (registered: the same of the items of rules.hierarchy)
SELECT
    item_line.line_item_id,
    coalesce(hierarchy_node.node_id, item_line.item_id) AS item_id,
    item_line.group_number,
    item_line.lines,
    item_line.min_support_count
FROM hierarchy_node
RIGHT JOIN item_line ON hierarchy_node.item_id = item_line.item_id
