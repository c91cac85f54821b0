-- The association rules, as published.
--
-- Grain:  a rule antecedents -> consequents
-- Inputs: kept_rule (registered: the measured rules that pass rules.where, rules.redundant and rules.top)
SELECT
    rule_id,
    antecedents,
    consequents,
    basket_count,
    antecedent_count,
    consequent_count,
    support_count,
    antecedent_support,
    consequent_support,
    support,
    confidence,
    lift,
    leverage,
    conviction,
    zhangs_metric,
    jaccard,
    cosine,
    kulczynski,
    imbalance_ratio,
    certainty,
    added_value,
    odds_ratio,
    phi,
    chi_squared,
    chi_squared_p,
    fishers_exact_p,
    fishers_exact_log10_p,
    fishers_exact_q,
    is_redundant
FROM kept_rule
ORDER BY lift DESC, support_count DESC, antecedent_items, consequent_items
