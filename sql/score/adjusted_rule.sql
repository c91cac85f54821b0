-- The measured rules with p-values adjusted for the number of tests.
--
-- Grain:      a rule
-- Inputs:     measured_rule
-- Parameters: $adjust         'bonferroni', 'holm' or 'bh' (Benjamini and Hochberg 1995)
--             $rules_tested   m, all splits of the frequent itemsets that were allowed: pruning by confidence tests them, too
--             $rules_measured how many rules have a p-value; ranks are among these, which is conservative
-- Formula:    with the p-values ascending, p(1) the least:
--             bonferroni  m p(i)
--             holm        the largest (m - j + 1) p(j) for j up to i
--             bh          the least m p(j) / j for j from i on
--             each at most 1, in the order of the logarithm: tails that are 0 as a double still have their places. Factors are
--             worked out before they meet a p-value: at least 1, they leave it no smaller.
WITH ranked AS (
    SELECT
        *,
        CAST(row_number() OVER (
            ORDER BY fishers_exact_log10_p DESC, antecedent_items DESC, consequent_items DESC
        ) AS BIGINT) AS from_the_largest
    FROM measured_rule
),

bounded AS (
    SELECT
        *,
        CASE $adjust
            WHEN 'bonferroni' THEN fishers_exact_p * CAST($rules_tested AS DOUBLE)
            WHEN 'holm'
                THEN
                    fishers_exact_p
                    * CAST(
                        CAST($rules_tested AS BIGINT) - CAST($rules_measured AS BIGINT) + from_the_largest AS DOUBLE
                    )
            WHEN 'bh'
                THEN
                    fishers_exact_p
                    * (
                        CAST($rules_tested AS DOUBLE)
                        / CAST(CAST($rules_measured AS BIGINT) - from_the_largest + 1 AS DOUBLE)
                    )
        END AS bound
    FROM ranked
)

SELECT
    * EXCEPT (fishers_exact_q, from_the_largest, bound),
    least(
        1.0,
        CASE $adjust
            WHEN 'bonferroni' THEN bound
            WHEN 'holm' THEN max(bound) OVER (ORDER BY from_the_largest DESC ROWS UNBOUNDED PRECEDING)
            WHEN 'bh' THEN min(bound) OVER (ORDER BY from_the_largest ROWS UNBOUNDED PRECEDING)
        END
    ) AS fishers_exact_q
FROM bounded
