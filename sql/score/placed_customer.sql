-- Where each customer stands among all by each value, the worst first. Ranges of values are placed side by side, so that no place
-- needs all customers in one task.
--
-- Grain:      a customer
-- Inputs:     valued_customer, customer_range
-- Parameters: $recency_placed, $frequency_placed, $monetary_placed   whether places by that value are asked for; else they are null
-- Formula:    worse: how many customers are worse.  equal: how many are as good, the customer among them.
--             place: how many come before, those who are equal by customer_id.  all_customers: how many there are.
WITH ranged AS (
    SELECT
        *,
        -- the more days, the worse
        -value_range(recency_days) AS recency_range,
        value_range(frequency) AS frequency_range,
        value_range(monetary) AS monetary_range
    FROM valued_customer
),

recency_start AS (
    SELECT
        recency_range,
        CAST(sum(customers) OVER (ORDER BY recency_range) AS BIGINT) - customers AS before
    FROM (
        SELECT
            recency_range,
            count(*) AS customers
        FROM ranged
        WHERE CAST($recency_placed AS BOOLEAN)
        GROUP BY recency_range
    ) AS counted
),

frequency_start AS (
    SELECT
        frequency_range,
        CAST(sum(customers) OVER (ORDER BY frequency_range) AS BIGINT) - customers AS before
    FROM (
        SELECT
            frequency_range,
            count(*) AS customers
        FROM ranged
        WHERE CAST($frequency_placed AS BOOLEAN)
        GROUP BY frequency_range
    ) AS counted
),

monetary_start AS (
    SELECT
        monetary_range,
        CAST(sum(customers) OVER (ORDER BY monetary_range) AS BIGINT) - customers AS before
    FROM (
        SELECT
            monetary_range,
            count(*) AS customers
        FROM ranged
        WHERE CAST($monetary_placed AS BOOLEAN)
        GROUP BY monetary_range
    ) AS counted
),

within_range AS (
    SELECT
        *,
        rank() OVER (PARTITION BY recency_range ORDER BY recency_days DESC) - 1 AS recency_worse,
        count(*) OVER (PARTITION BY recency_range, recency_days) AS recency_equal,
        row_number() OVER (PARTITION BY recency_range ORDER BY recency_days DESC, customer_id) - 1 AS recency_place,
        rank() OVER (PARTITION BY frequency_range ORDER BY frequency) - 1 AS frequency_worse,
        count(*) OVER (PARTITION BY frequency_range, frequency) AS frequency_equal,
        row_number() OVER (PARTITION BY frequency_range ORDER BY frequency, customer_id) - 1 AS frequency_place,
        rank() OVER (PARTITION BY monetary_range ORDER BY monetary) - 1 AS monetary_worse,
        count(*) OVER (PARTITION BY monetary_range, monetary) AS monetary_equal,
        row_number() OVER (PARTITION BY monetary_range ORDER BY monetary, customer_id) - 1 AS monetary_place
    FROM ranged
)

SELECT
    customer.customer_id,
    customer.first_order_date,
    customer.last_order_date,
    customer.recency_days,
    customer.tenure_days,
    customer.orders,
    customer.active_days,
    customer.frequency,
    customer.monetary,
    customer.revenue,
    customer.average_order_value,
    CASE
        WHEN CAST($recency_placed AS BOOLEAN) OR CAST($frequency_placed AS BOOLEAN) OR CAST($monetary_placed AS BOOLEAN)
            THEN (SELECT customers FROM customer_range)
    END AS all_customers,
    CASE WHEN CAST($recency_placed AS BOOLEAN) THEN recency_start.before + CAST(customer.recency_worse AS BIGINT) END AS recency_worse,
    CASE WHEN CAST($recency_placed AS BOOLEAN) THEN customer.recency_equal END AS recency_equal,
    CASE WHEN CAST($recency_placed AS BOOLEAN) THEN recency_start.before + CAST(customer.recency_place AS BIGINT) END AS recency_place,
    CASE WHEN CAST($frequency_placed AS BOOLEAN) THEN frequency_start.before + CAST(customer.frequency_worse AS BIGINT) END AS frequency_worse,
    CASE WHEN CAST($frequency_placed AS BOOLEAN) THEN customer.frequency_equal END AS frequency_equal,
    CASE WHEN CAST($frequency_placed AS BOOLEAN) THEN frequency_start.before + CAST(customer.frequency_place AS BIGINT) END AS frequency_place,
    CASE WHEN CAST($monetary_placed AS BOOLEAN) THEN monetary_start.before + CAST(customer.monetary_worse AS BIGINT) END AS monetary_worse,
    CASE WHEN CAST($monetary_placed AS BOOLEAN) THEN customer.monetary_equal END AS monetary_equal,
    CASE WHEN CAST($monetary_placed AS BOOLEAN) THEN monetary_start.before + CAST(customer.monetary_place AS BIGINT) END AS monetary_place
FROM within_range AS customer
LEFT JOIN recency_start ON customer.recency_range = recency_start.recency_range
LEFT JOIN frequency_start ON customer.frequency_range = frequency_start.frequency_range
LEFT JOIN monetary_start ON customer.monetary_range = monetary_start.monetary_range
