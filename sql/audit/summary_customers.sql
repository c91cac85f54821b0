-- A customer has one row, and no repeat purchase without a time between.
SELECT customer_id, count(*) AS rows
FROM customer_summary
GROUP BY customer_id
HAVING
    count(*) > 1
    OR (min(frequency) >= 0 AND min(t - recency) >= 0 AND min(recency - frequency) >= 0) IS NOT TRUE
