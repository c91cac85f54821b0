-- A customer has one row, with an id.
SELECT customer_id, count(*) AS rows
FROM customer_rfm
GROUP BY customer_id
HAVING count(*) > 1 OR customer_id IS NULL
