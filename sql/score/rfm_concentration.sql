-- How revenue is spread over customers: deciles from the customers who spend most, Lorenz points, the Gini coefficient.
--
-- Grain:   a tenth of the customers, the first of the highest revenue; ties in any order, which changes no sum
-- Inputs:  valued_customer
-- Formula: the Lorenz curve from the top runs through (cumulative_customer_share, cumulative_revenue_share).
--          gini, the same in every row: with x_1 to x_n ascending, the sum of (2 i - n - 1) x_i / (n sum x): 0 where all are equal,
--          (n - 1) / n where one has all. From decimals to the last division. Shares and gini are null without revenue above 0.
WITH placed AS (
    SELECT
        revenue,
        CAST(row_number() OVER (ORDER BY revenue DESC) AS BIGINT) AS place,
        (SELECT count(*) FROM valued_customer) AS all_customers
    FROM valued_customer
),

decile AS (
    SELECT
        CAST(tile(place - 1, all_customers, 10) AS INT) AS decile,
        count(*) AS customers,
        sum(revenue) AS revenue,
        sum(CAST(revenue * CAST(place AS DECIMAL(18, 0)) AS DECIMAL(38, 4))) AS weighted
    FROM placed
    GROUP BY decile
),

-- Beside each decile, what all are together: the customers are sorted once.
compared AS (
    SELECT
        decile,
        customers,
        revenue,
        sum(customers) OVER () AS all_customers,
        CASE WHEN sum(revenue) OVER () > 0 THEN sum(revenue) OVER () END AS all_revenue,
        CAST(CAST(sum(customers) OVER () + 1 AS DECIMAL(18, 0)) * sum(revenue) OVER () - 2 * sum(weighted) OVER () AS DOUBLE) AS spread,
        sum(customers) OVER (ORDER BY decile) AS cumulative_customers,
        sum(revenue) OVER (ORDER BY decile) AS cumulative_revenue
    FROM decile
)

SELECT
    decile,
    customers,
    revenue,
    CAST(revenue AS DOUBLE) / CAST(all_revenue AS DOUBLE) AS revenue_share,
    CAST(cumulative_customers AS DOUBLE) / CAST(all_customers AS DOUBLE) AS cumulative_customer_share,
    CAST(cumulative_revenue AS DOUBLE) / CAST(all_revenue AS DOUBLE) AS cumulative_revenue_share,
    spread / (CAST(all_customers AS DOUBLE) * CAST(all_revenue AS DOUBLE)) AS gini
FROM compared
ORDER BY decile
