-- How revenue is spread over customers: deciles from the customers who spend most, Lorenz points, the Gini coefficient.
--
-- Grain:   a tenth of the customers, the first of the highest revenue; ties in any order, which changes no sum
-- Inputs:  valued_customer
-- Formula: the Lorenz curve from the top runs through (cumulative_customer_share, cumulative_revenue_share).
--          gini, the same in every row: with x_1 to x_n ascending, the sum of (2 i - n - 1) x_i / (n sum x): 0 where all are equal,
--          (n - 1) / n where one has all. From decimals to the last division. Shares and gini are null without revenue above 0.
WITH ranged AS (
    SELECT
        revenue,
        value_range(revenue) AS range_number
    FROM valued_customer
),

-- How many customers have more than those of a range: ranges are then placed side by side.
range_place AS (
    SELECT
        range_number,
        CAST(sum(customers) OVER (ORDER BY range_number DESC) AS BIGINT) - customers AS customers_before,
        CAST(sum(customers) OVER () AS BIGINT) AS all_customers
    FROM (SELECT range_number, count(*) AS customers FROM ranged GROUP BY range_number) AS counted
),

placed AS (
    SELECT
        within_range.revenue,
        range_place.customers_before + within_range.place AS place,
        -- that many deciles have one customer more than the others, which have so many
        range_place.all_customers % 10 AS larger_deciles,
        range_place.all_customers / 10 AS decile_size
    FROM range_place
    INNER JOIN (
        SELECT
            revenue,
            range_number,
            CAST(row_number() OVER (PARTITION BY range_number ORDER BY revenue DESC) AS BIGINT) AS place
        FROM ranged
    ) AS within_range ON range_place.range_number = within_range.range_number
),

-- as ntile(10) has it
tiled AS (
    SELECT
        revenue,
        CAST(place AS DECIMAL(18, 0)) AS place,
        CAST(
            CASE
                WHEN place <= larger_deciles * (decile_size + 1) THEN (place - 1) / (decile_size + 1) + 1
                ELSE larger_deciles + (place - larger_deciles * (decile_size + 1) - 1) / greatest(decile_size, 1) + 1
            END AS INT
        ) AS decile
    FROM placed
),

decile AS (
    SELECT
        decile,
        count(*) AS customers,
        sum(revenue) AS revenue,
        sum(CAST(revenue * place AS DECIMAL(38, 4))) AS weighted
    FROM tiled
    GROUP BY decile
),

total AS (
    SELECT
        CAST(sum(customers) AS BIGINT) AS customers,
        CASE WHEN sum(revenue) > 0 THEN sum(revenue) END AS revenue,
        CAST(CAST(sum(customers) + 1 AS DECIMAL(18, 0)) * sum(revenue) - 2 * sum(weighted) AS DOUBLE) AS spread
    FROM decile
)

SELECT
    decile.decile,
    decile.customers,
    decile.revenue,
    CAST(decile.revenue AS DOUBLE) / CAST(total.revenue AS DOUBLE) AS revenue_share,
    CAST(sum(decile.customers) OVER (ORDER BY decile.decile) AS DOUBLE) / CAST(total.customers AS DOUBLE) AS cumulative_customer_share,
    CAST(sum(decile.revenue) OVER (ORDER BY decile.decile) AS DOUBLE) / CAST(total.revenue AS DOUBLE) AS cumulative_revenue_share,
    total.spread / (CAST(total.customers AS DOUBLE) * CAST(total.revenue AS DOUBLE)) AS gini
FROM total
CROSS JOIN decile
ORDER BY decile
