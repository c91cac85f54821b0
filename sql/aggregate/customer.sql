-- What each customer ordered, up to the run date.
--
-- Grain:      a customer with at least one order
-- Inputs:     line
-- Parameters: $window_start  the first moment whose orders and refunds count; null for all
--             $window_end    the first moment whose do not any more, likewise
--             $pseudonymise  whether ids are published as pseudonyms
-- Formula:    a refund (clean.returns = "net") adds its amount and is no order; a customer with refunds alone is left out.
WITH summarised AS (
    SELECT
        customer_id,
        customer_orders(
            CASE WHEN NOT is_refund THEN order_id END,
            CASE WHEN NOT is_refund THEN order_ts END,
            amount
        ) AS summary
    FROM line
    WHERE
        customer_id IS NOT NULL
        AND ((order_ts < $window_start) IS DISTINCT FROM true)
        AND ((order_ts >= $window_end) IS DISTINCT FROM true)
    GROUP BY customer_id
)

SELECT
    CASE
        WHEN CAST($pseudonymise AS BOOLEAN) THEN pseudonym(arrow_cast(customer_id, 'Utf8'))
        ELSE arrow_cast(customer_id, 'Utf8')
    END AS customer_id,
    summary['first_order_date'] AS first_order_date,
    summary['last_order_date'] AS last_order_date,
    summary['orders'] AS orders,
    summary['active_days'] AS active_days,
    summary['lines'] AS lines,
    summary['monetary'] AS monetary
FROM summarised
WHERE summary['orders'] > 0
