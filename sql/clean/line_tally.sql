-- What one pass over the lines tells of each reason to leave a line out, and of the lines that are kept, whose reason is null.
--
-- Grain:      a reason and a bucket of orders, whose counts add up
-- Inputs:     checked_line
-- Parameters: $with_customers  whether to count the lines without a customer
--             $with_baskets    whether to count the baskets and the lines of each item, of kept lines
--             $order_buckets   how many parts of the orders are counted side by side
SELECT
    left_out_as,
    CASE WHEN CAST($order_buckets AS BIGINT) > 1 THEN bucket(order_id, CAST($order_buckets AS BIGINT)) ELSE 0 END AS order_bucket,
    sum(copies) AS lines,
    count(*) AS distinct_lines,
    count(*) FILTER (WHERE CAST($with_customers AS BOOLEAN) AND customer_id IS NULL) AS without_customer,
    count(*) FILTER (WHERE item_id IS NULL) AS without_item,
    distinct_count(order_id) FILTER (
        WHERE CAST($with_baskets AS BOOLEAN) AND left_out_as IS NULL AND item_id IS NOT NULL AND NOT is_refund
    ) AS baskets,
    value_counts(item_id) FILTER (
        WHERE CAST($with_baskets AS BOOLEAN) AND left_out_as IS NULL AND item_id IS NOT NULL AND NOT is_refund
    ) AS item_lines
FROM checked_line
GROUP BY left_out_as, order_bucket
