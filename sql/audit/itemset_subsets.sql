-- Where all frequent itemsets are published: an itemset without its last item is frequent too, in at least as many baskets.
SELECT longer.*
FROM frequent_itemsets AS longer
LEFT JOIN frequent_itemsets AS shorter
    ON array_slice(longer.itemset, 1, longer.length - 1) = shorter.itemset
WHERE
    $target = 'frequent'
    AND longer.length > CAST($min_length AS BIGINT)
    AND (shorter.support_count >= longer.support_count) IS NOT TRUE
