-- How many lines are left out for each reason, and how many are kept, whose reason is null: line_tally without its baskets, where
-- the customers' pass over the lines has counted them.
--
-- Grain:  a reason
-- Inputs: customer_tally
SELECT
    left_out_as,
    sum(lines_read) AS lines,
    sum(distinct_lines) AS distinct_lines,
    coalesce(sum(distinct_lines) FILTER (WHERE customer_id IS NULL), 0) AS without_customer,
    0 AS without_item
FROM customer_tally
GROUP BY left_out_as
