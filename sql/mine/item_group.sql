-- The frequent items cut into ranges of ranks of about the same cost, to be mined side by side.
--
-- Grain:      a range of ranks
-- Inputs:     item_count, exchange_key (registered: a key for each range, such that an exchange by key is even)
-- Parameters: $item_groups        how many ranges at most
--             $min_support_count
-- Formula:    an item costs as many items as its baskets hold up to it. (Li et al. 2008, PFP, groups by number of items.)
WITH cost AS (
    SELECT
        item,
        sum(support_count + preceding_items) OVER (ORDER BY item) AS cost_so_far,
        sum(support_count + preceding_items) OVER () AS cost_of_all
    FROM item_count
    WHERE support_count >= CAST($min_support_count AS BIGINT)
)

SELECT
    exchange_key.exchange_key,
    min(cost.item) AS first_item,
    CAST(max(cost.item) + 1 AS INT UNSIGNED) AS end_item
FROM cost
INNER JOIN exchange_key
    ON (cost.cost_so_far - 1) * CAST($item_groups AS BIGINT) / cost.cost_of_all = exchange_key.item_group
GROUP BY exchange_key.exchange_key
