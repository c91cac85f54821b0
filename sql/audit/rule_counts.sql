-- A rule's counts can all be true at once.
SELECT *
FROM association_rules
WHERE
    (
        basket_count = CAST($basket_count AS BIGINT)
        AND support_count BETWEEN CAST($min_support_count AS BIGINT) AND least(antecedent_count, consequent_count)
        AND antecedent_count + consequent_count - support_count <= basket_count
    ) IS NOT TRUE
