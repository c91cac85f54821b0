-- How revenue is spread over customers: deciles from the customers who spend most, Lorenz points, the Gini coefficient.
--
-- Grain:   a tenth of the customers, the first of the highest revenue; ties in any order, which changes no sum
-- Inputs:  valued_customer
-- Formula: the Lorenz curve from the top runs through (cumulative_customer_share, cumulative_revenue_share).
--          gini, the same in every row: with x_1 to x_n ascending, the sum of (2 i - n - 1) x_i / (n sum x): 0 where all are equal,
--          (n - 1) / n where one has all. From decimals to the last division. Shares and gini are null without revenue above 0.
WITH ranged AS (
    SELECT
        value_range(revenue) AS range_number,
        array_agg(revenue) AS revenues
    FROM valued_customer
    GROUP BY value_range(revenue)
),

-- How many customers have more than those of a range: ranges are then placed side by side.
range_place AS (
    SELECT
        range_number,
        CAST(sum(customers) OVER (ORDER BY range_number DESC) AS BIGINT) - customers AS customers_before,
        CAST(sum(customers) OVER () AS BIGINT) AS all_customers
    FROM (SELECT value_range(revenue) AS range_number, count(*) AS customers FROM valued_customer GROUP BY value_range(revenue)) AS counted
),

part AS (
    SELECT unnest(tile_sums(ranged.revenues, range_place.customers_before, range_place.all_customers, 10)) AS part
    FROM range_place
    INNER JOIN ranged ON range_place.range_number = ranged.range_number
),

decile AS (
    SELECT
        CAST(part['tile'] AS INT) AS decile,
        sum(part['rows']) AS customers,
        sum(part['sum']) AS revenue,
        sum(part['weighted']) AS weighted
    FROM part
    GROUP BY part['tile']
),

-- Beside each decile, what all are together.
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
