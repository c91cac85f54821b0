-- Rules pass the thresholds, and measures stay within their bounds.
SELECT *
FROM association_rules
WHERE
    (
        confidence BETWEEN CAST($min_confidence AS DOUBLE) AND 1
        AND lift >= CAST($min_lift AS DOUBLE)
        AND leverage BETWEEN -0.25 AND 0.25
        AND (conviction IS NULL OR conviction >= 0)
        AND zhangs_metric BETWEEN -1 AND 1
        AND jaccard BETWEEN 0 AND 1
        AND cosine BETWEEN 0 AND 1 + 1e-12
        AND kulczynski BETWEEN 0 AND 1
        AND imbalance_ratio BETWEEN 0 AND 1
        AND certainty BETWEEN -1 AND 1
        AND added_value BETWEEN -1 AND 1
        AND (phi IS NULL OR phi BETWEEN -1 - 1e-12 AND 1 + 1e-12)
        AND (chi_squared_p IS NULL OR chi_squared_p BETWEEN 0 AND 1)
        AND fishers_exact_p BETWEEN 0 AND 1
        AND fishers_exact_log10_p <= 0
        AND (fishers_exact_q IS NULL OR fishers_exact_q BETWEEN fishers_exact_p AND 1)
    ) IS NOT TRUE
