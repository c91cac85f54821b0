-- The confident rules with their measures.
--
-- Grain:      a rule antecedents -> consequents
-- Inputs:     confident_rule, item, item_side, itemset_index
-- Parameters: $basket_count  N
--             $min_lift
-- Formula:    each measure is a function of the same four counts (SHOW FUNCTIONS LIKE 'lift' tells its formula); with n11 baskets that hold
--             both sides, n1x the antecedent, nx1 the consequent, n all:
--             support = n11 / n, confidence = n11 / n1x, lift = confidence / (nx1 / n).
--             fishers_exact_q comes with the adjustment (adjusted_rule).
WITH counted AS (
    SELECT
        *,
        CAST($basket_count AS BIGINT) AS basket_count,
        CAST($basket_count AS DOUBLE) AS n
    FROM confident_rule
    WHERE
        items_in(antecedent_items, (SELECT shared(array_agg(item_number)) FROM item_side WHERE may_be_antecedent))
        = array_length(antecedent_items)
),

measured AS (
    SELECT
        *,
        lift(support_count, antecedent_count, consequent_count, basket_count) AS lift,
        chi_squared(support_count, antecedent_count, consequent_count, basket_count) AS chi_squared,
        item_ids(antecedent_items, (SELECT shared(array_agg(item_id ORDER BY item_number)) FROM item)) AS antecedents,
        item_ids(consequent_items, (SELECT shared(array_agg(item_id ORDER BY item_number)) FROM item)) AS consequents
    FROM counted
    WHERE lift(support_count, antecedent_count, consequent_count, basket_count) >= CAST($min_lift AS DOUBLE)
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
    CAST(antecedent_count AS DOUBLE) / n AS antecedent_support,
    CAST(consequent_count AS DOUBLE) / n AS consequent_support,
    CAST(support_count AS DOUBLE) / n AS support,
    confidence(support_count, antecedent_count, consequent_count, basket_count) AS confidence,
    lift,
    leverage(support_count, antecedent_count, consequent_count, basket_count) AS leverage,
    conviction(support_count, antecedent_count, consequent_count, basket_count) AS conviction,
    zhangs_metric(support_count, antecedent_count, consequent_count, basket_count) AS zhangs_metric,
    jaccard(support_count, antecedent_count, consequent_count, basket_count) AS jaccard,
    cosine(support_count, antecedent_count, consequent_count, basket_count) AS cosine,
    kulczynski(support_count, antecedent_count, consequent_count, basket_count) AS kulczynski,
    imbalance_ratio(support_count, antecedent_count, consequent_count, basket_count) AS imbalance_ratio,
    certainty(support_count, antecedent_count, consequent_count, basket_count) AS certainty,
    added_value(support_count, antecedent_count, consequent_count, basket_count) AS added_value,
    odds_ratio(support_count, antecedent_count, consequent_count, basket_count) AS odds_ratio,
    phi(support_count, antecedent_count, consequent_count, basket_count) AS phi,
    chi_squared,
    chi_squared_p(chi_squared) AS chi_squared_p,
    fishers_exact_p(support_count, antecedent_count, consequent_count, basket_count) AS fishers_exact_p,
    fishers_exact_log10_p(support_count, antecedent_count, consequent_count, basket_count) AS fishers_exact_log10_p,
    CAST(NULL AS DOUBLE) AS fishers_exact_q,
    is_redundant(
        antecedent_items, consequent_items, (SELECT shared(supports) FROM itemset_index), basket_count
    ) AS is_redundant
FROM measured
