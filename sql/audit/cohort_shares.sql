-- A cohort's month has one row, all of the cohort have an order in its first, and no share is above 1.
SELECT cohort_month, months_since, count(*) AS rows
FROM cohort_retention
GROUP BY cohort_month, months_since
HAVING
    count(*) > 1
    OR (
        min(customers) >= 0
        AND max(retention) <= 1
        AND max(repeat_purchase_rate) <= 1
        AND (months_since > 0 OR max(retention) = 1)
    ) IS NOT TRUE
