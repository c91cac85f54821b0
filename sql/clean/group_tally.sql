-- What one pass over the lines tells of the baskets of each group that rules.by makes.
--
-- Grain:      a group and a bucket of orders, whose counts add up
-- Inputs:     grouped_line (registered: line, with group_key, a struct of all columns of rules.by)
-- Parameters: $order_buckets  how many parts of the orders are counted side by side
SELECT
    group_key,
    CASE WHEN CAST($order_buckets AS BIGINT) > 1 THEN bucket(order_id, CAST($order_buckets AS BIGINT)) ELSE 0 END AS order_bucket,
    distinct_count(order_id) AS baskets,
    value_counts(item_id) AS item_lines
FROM grouped_line
WHERE item_id IS NOT NULL AND NOT is_refund
GROUP BY group_key, order_bucket
