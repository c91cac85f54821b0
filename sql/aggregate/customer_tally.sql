-- What one pass over the lines tells of each customer: how many lines are left out for each reason, and what the others add up to.
--
-- Grain:      a customer (null for lines without one) and a reason to leave lines out, which is null for those that are kept
-- Inputs:     checked_line
-- Parameters: $some_left_out    whether any line may be left out: if none is, what decides it need not be read again
--             $drop_duplicates  whether a line stands for its copies: if not, lines are as many as were read
--             $window_start     the first moment whose orders and refunds count; null for all
--             $window_end       the first moment whose do not any more, likewise
--             $has_refunds      whether lines may be refunds (clean.returns = "net")
--             $pseudonymise     whether ids are published as pseudonyms
-- Formula:    a refund (clean.returns = "net") adds its amount and is no order.

-- The lines of an order that stand near one another, as one row.
WITH order_part AS (
    SELECT
        order_id,
        customer_id,
        order_ts,
        CAST($has_refunds AS BOOLEAN) AND is_refund AS refunded,
        CASE WHEN CAST($some_left_out AS BOOLEAN) THEN left_out_as END AS reason,
        part_sum(copies) AS copies,
        part_sum(1) AS lines,
        part_sum(amount) FILTER (
            WHERE customer_id IS NOT NULL AND (left_out_as IS NULL OR NOT CAST($some_left_out AS BOOLEAN))
        ) AS amount
    FROM checked_line
    GROUP BY order_id, customer_id, order_ts, refunded, reason
),

counted AS (
    SELECT
        *,
        reason IS NULL
        AND customer_id IS NOT NULL
        AND ((order_ts < $window_start) IS DISTINCT FROM true)
        AND ((order_ts >= $window_end) IS DISTINCT FROM true) AS counts
    FROM order_part
),

summarised AS (
    SELECT
        customer_id,
        -- Parameters are asked again, of what they decided above, for the planner to leave out the key and the questions that they rule out.
        CASE WHEN CAST($some_left_out AS BOOLEAN) THEN reason END AS left_out_as,
        sum(copies) AS copies,
        -- Those that are no order's, such as lines that are left out. Of an order's the summary tells: none that counts is without an order_id.
        sum(lines) FILTER (WHERE NOT counts OR (CAST($has_refunds AS BOOLEAN) AND refunded)) AS other_lines,
        customer_orders(
            CASE WHEN NOT (CAST($has_refunds AS BOOLEAN) AND refunded) THEN order_id END,
            CASE WHEN NOT (CAST($has_refunds AS BOOLEAN) AND refunded) THEN order_ts END,
            amount,
            lines
        ) FILTER (WHERE counts) AS summary
    FROM counted
    GROUP BY customer_id, left_out_as
)

SELECT
    CASE
        WHEN CAST($pseudonymise AS BOOLEAN) THEN pseudonym(arrow_cast(customer_id, 'Utf8'))
        ELSE arrow_cast(customer_id, 'Utf8')
    END AS customer_id,
    left_out_as,
    CASE
        WHEN CAST($drop_duplicates AS BOOLEAN) THEN copies
        ELSE summary['lines'] + coalesce(other_lines, 0)
    END AS lines_read,
    summary['lines'] + coalesce(other_lines, 0) AS distinct_lines,
    summary['lines'] AS lines,
    summary['first_order_date'] AS first_order_date,
    summary['last_order_date'] AS last_order_date,
    summary['orders'] AS orders,
    summary['active_days'] AS active_days,
    summary['monetary'] AS monetary
FROM summarised
