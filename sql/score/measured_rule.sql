-- The confident rules with their measures.
--
-- Grain:      a rule antecedents -> consequents
-- Inputs:     confident_rule, item, item_side, itemset_index
-- Parameters: $basket_count  N
--             $min_lift
-- Formula:    with n11 baskets that hold both sides, n1x the antecedent, nx1 the consequent, n all, n10 = n1x - n11 and so on.
--             excess = n n11 - n1x nx1 = n11 n00 - n10 n01 in integers: what all measures of dependence share, exactly 0
--             at independence. Infinity where only the denominator is 0; null where nothing is defined.
--             fishers_exact_q comes with the adjustment (adjusted_rule).
WITH counted AS (
    SELECT
        antecedent_items,
        consequent_items,
        CAST($basket_count AS BIGINT) AS basket_count,
        antecedent_count,
        consequent_count,
        support_count,
        CAST($basket_count AS DOUBLE) AS n,
        CAST(support_count AS DOUBLE) AS n11,
        CAST(antecedent_count AS DOUBLE) AS n1x,
        CAST(consequent_count AS DOUBLE) AS nx1,
        CAST(antecedent_count - support_count AS DOUBLE) AS n10,
        CAST(consequent_count - support_count AS DOUBLE) AS n01,
        CAST(CAST($basket_count AS BIGINT) - antecedent_count AS DOUBLE) AS n0x,
        CAST(CAST($basket_count AS BIGINT) - consequent_count AS DOUBLE) AS nx0,
        CAST(CAST($basket_count AS BIGINT) - antecedent_count - consequent_count + support_count AS DOUBLE) AS n00,
        CAST(
            CAST($basket_count AS DECIMAL(19, 0)) * CAST(support_count AS DECIMAL(19, 0))
            - CAST(antecedent_count AS DECIMAL(19, 0)) * CAST(consequent_count AS DECIMAL(19, 0)) AS DOUBLE
        ) AS excess
    FROM confident_rule
    WHERE
        items_in(antecedent_items, (SELECT shared(array_agg(item_number)) FROM item_side WHERE may_be_antecedent))
        = array_length(antecedent_items)
),

measured AS (
    SELECT
        *,
        n * n11 / (n1x * nx1) AS lift,
        n * excess * excess / nullif(n1x * n0x * nx1 * nx0, 0) AS chi_squared,
        item_ids(antecedent_items, (SELECT shared(array_agg(item_id ORDER BY item_number)) FROM item)) AS antecedents,
        item_ids(consequent_items, (SELECT shared(array_agg(item_id ORDER BY item_number)) FROM item)) AS consequents
    FROM counted
    WHERE n * n11 / (n1x * nx1) >= CAST($min_lift AS DOUBLE)
)

SELECT
    antecedent_items,
    consequent_items,
    rule_id(antecedents, consequents) AS rule_id,
    antecedents,
    consequents,
    basket_count,
    antecedent_count,
    consequent_count,
    support_count,
    n1x / n AS antecedent_support,
    nx1 / n AS consequent_support,
    n11 / n AS support,
    n11 / n1x AS confidence,
    lift,
    excess / (n * n) AS leverage,
    CASE
        WHEN n10 > 0 THEN n1x * nx0 / (n * n10)
        WHEN nx0 > 0 THEN CAST('Infinity' AS DOUBLE)
    END AS conviction,
    coalesce(excess / nullif(greatest(n11 * n0x, n1x * n01), 0), 0) AS zhangs_metric,
    n11 / (n1x + nx1 - n11) AS jaccard,
    n11 / sqrt(n1x * nx1) AS cosine,
    (n11 / n1x + n11 / nx1) / 2 AS kulczynski,
    abs(n1x - nx1) / (n1x + nx1 - n11) AS imbalance_ratio,
    CASE
        WHEN excess > 0 THEN excess / (n1x * nx0)
        WHEN excess < 0 THEN excess / (n1x * nx1)
        ELSE 0.0
    END AS certainty,
    excess / (n * n1x) AS added_value,
    CASE
        WHEN n10 * n01 > 0 THEN n11 * n00 / (n10 * n01)
        WHEN n11 * n00 > 0 THEN CAST('Infinity' AS DOUBLE)
    END AS odds_ratio,
    excess / sqrt(nullif(n1x * nx1 * n0x * nx0, 0)) AS phi,
    chi_squared,
    chi_squared_p(chi_squared) AS chi_squared_p,
    fishers_exact_p(support_count, antecedent_count, consequent_count, basket_count) AS fishers_exact_p,
    fishers_exact_log10_p(support_count, antecedent_count, consequent_count, basket_count) AS fishers_exact_log10_p,
    CAST(NULL AS DOUBLE) AS fishers_exact_q,
    is_redundant(
        antecedent_items, consequent_items,
        (SELECT shared(supports) FROM itemset_index), basket_count
    ) AS is_redundant
FROM measured
