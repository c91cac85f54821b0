-- Each customer's recency, frequency and monetary value, scaled and weighted into one loyalty score.
--
-- Grain:      a customer
-- Inputs:     binned_customer
-- Parameters: $recency_scaling, $frequency_scaling, $monetary_scaling   'min_max', 'z_score', 'rank' or 'log'
--             $recency_weight, $frequency_weight, $monetary_weight      they sum to 1
--             $least_recency, $most_recency, $recency_mean, $recency_deviation, and likewise for frequency and monetary: what
--             customer_range says of all customers
-- Formula:    scaled lies in [0, 1], recency turned round so that 1 is best; 0.5 where all are equal.
--             min_max: (x - min) / (max - min).  log: ln(1 + x - min) / ln(1 + max - min).
--             z_score: the normal distribution up to z = (x - mean) / deviation (of all customers, not a sample of them).
--             rank: the share of the other customers who are worse, those who are equal counted by half.
WITH scaled AS (
    SELECT
        customer.* EXCEPT (
            all_customers, recency_worse, recency_equal, frequency_worse, frequency_equal, monetary_worse, monetary_equal
        ),
        coalesce(
            CASE
                WHEN $recency_scaling = 'rank'
                    THEN CAST(2 * customer.recency_worse + customer.recency_equal - 1 AS DOUBLE) / nullif(2.0 * (customer.all_customers - 1), 0)
                WHEN $recency_scaling = 'log'
                    THEN 1.0 - log_scaled(customer.recency_days, CAST($least_recency AS INT), CAST($most_recency AS INT))
                WHEN $recency_scaling = 'z_score'
                    THEN 1.0 - normal_scaled(customer.recency_days, CAST($recency_mean AS DOUBLE), CAST($recency_deviation AS DOUBLE))
                ELSE
                    CAST(CAST($most_recency AS INT) - customer.recency_days AS DOUBLE) / nullif(CAST(CAST($most_recency AS INT) - CAST($least_recency AS INT) AS DOUBLE), 0)
            END, 0.5
        ) AS recency_scaled,
        coalesce(
            CASE
                WHEN $frequency_scaling = 'rank'
                    THEN CAST(2 * customer.frequency_worse + customer.frequency_equal - 1 AS DOUBLE) / nullif(2.0 * (customer.all_customers - 1), 0)
                WHEN $frequency_scaling = 'log'
                    THEN log_scaled(customer.frequency, CAST($least_frequency AS BIGINT), CAST($most_frequency AS BIGINT))
                WHEN $frequency_scaling = 'z_score'
                    THEN normal_scaled(customer.frequency, CAST($frequency_mean AS DOUBLE), CAST($frequency_deviation AS DOUBLE))
                ELSE
                    CAST(customer.frequency - CAST($least_frequency AS BIGINT) AS DOUBLE) / nullif(CAST(CAST($most_frequency AS BIGINT) - CAST($least_frequency AS BIGINT) AS DOUBLE), 0)
            END, 0.5
        ) AS frequency_scaled,
        coalesce(
            CASE
                WHEN $monetary_scaling = 'rank'
                    THEN CAST(2 * customer.monetary_worse + customer.monetary_equal - 1 AS DOUBLE) / nullif(2.0 * (customer.all_customers - 1), 0)
                WHEN $monetary_scaling = 'log'
                    THEN log_scaled(customer.monetary, CAST($least_monetary AS DECIMAL(38, 4)), CAST($most_monetary AS DECIMAL(38, 4)))
                WHEN $monetary_scaling = 'z_score'
                    THEN normal_scaled(customer.monetary, CAST($monetary_mean AS DOUBLE), CAST($monetary_deviation AS DOUBLE))
                ELSE
                    CAST(customer.monetary - CAST($least_monetary AS DECIMAL(38, 4)) AS DOUBLE) / nullif(CAST(CAST($most_monetary AS DECIMAL(38, 4)) - CAST($least_monetary AS DECIMAL(38, 4)) AS DOUBLE), 0)
            END, 0.5
        ) AS monetary_scaled
    FROM binned_customer AS customer
)

SELECT
    *,
    greatest(0.0, least(1.0,
        CAST($recency_weight AS DOUBLE) * recency_scaled
        + CAST($frequency_weight AS DOUBLE) * frequency_scaled
        + CAST($monetary_weight AS DOUBLE) * monetary_scaled
    )) AS loyalty_score
FROM scaled
