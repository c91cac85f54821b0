-- Itemsets are as frequent as asked, in no more baskets than there are, and as long as they say.
SELECT *
FROM frequent_itemsets
WHERE
    (
        support_count BETWEEN CAST($min_support_count AS BIGINT) AND CAST($basket_count AS BIGINT)
        AND support = CAST(support_count AS DOUBLE) / CAST($basket_count AS DOUBLE)
        AND length = array_length(itemset)
        AND length BETWEEN CAST($min_length AS BIGINT) AND CAST($longest_itemset AS BIGINT)
    ) IS NOT TRUE
