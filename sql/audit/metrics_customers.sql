-- A period has one row, in which every customer is new or returning, and of the retained no more than these.
SELECT period_start, count(*) AS rows
FROM loyalty_metrics
GROUP BY period_start
HAVING
    count(*) > 1
    OR (
        min(customers) = min(new_customers) + min(returning_customers)
        AND min(retained_customers) <= min(returning_customers)
        AND min(orders) >= min(customers)
        AND coalesce(max(retention_rate), 0) <= 1
    ) IS NOT TRUE
