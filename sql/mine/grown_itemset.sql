-- FP-growth: the frequent itemsets, each found by the range of ranks that its rarest item lies in.
--
-- Grain:      a frequent itemset
-- Inputs:     basket_chunk (registered: the baskets, many to a row), item_group
-- Parameters: $min_support_count
--             $max_length         items in an itemset; 0 for no limit
--             $max_itemsets       more are an error
--             $related_items      pairs of items that stand in no itemset together, encoded
-- Formula:    every range is given every basket and keeps what it needs of it, so an itemset's count is complete in one
--             range, and no itemset comes from two. (Li et al. 2008, PFP.)
SELECT
    itemset['items'] AS items,
    itemset['support_count'] AS support_count
FROM (
    SELECT
        unnest(
            itemsets_of_ranks(
                basket_chunk.items_chunk, item_group.first_item, item_group.end_item,
                CAST($min_support_count AS BIGINT), CAST($max_length AS BIGINT), CAST($max_itemsets AS BIGINT),
                $related_items
            )
        ) AS itemset
    FROM item_group
    CROSS JOIN basket_chunk
    GROUP BY item_group.exchange_key
)
