-- All customers of the same three scores have the cell that repeats them.
SELECT
    recency_score,
    frequency_score,
    monetary_score,
    min(rfm_cell) AS least_cell,
    max(rfm_cell) AS most_cell,
    count(*) - count(rfm_cell) AS without_cell
FROM customer_rfm
GROUP BY recency_score, frequency_score, monetary_score
HAVING
    (
        min(rfm_cell) = concat(recency_score, frequency_score, monetary_score)
        AND max(rfm_cell) = concat(recency_score, frequency_score, monetary_score)
        AND count(rfm_cell) = count(*)
    ) IS NOT TRUE
