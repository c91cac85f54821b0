-- The named segments on the grid of recency and frequency scores from 1 to 5: every cell belongs to exactly one.
--
-- Grain: a rectangle of cells with one name
SELECT
    column1 AS segment,
    column2 AS recency_from,
    column3 AS recency_to,
    column4 AS frequency_from,
    column5 AS frequency_to
FROM (
    VALUES
        ('hibernating', 1, 2, 1, 2),
        ('at_risk', 1, 2, 3, 4),
        ('cant_lose', 1, 2, 5, 5),
        ('about_to_sleep', 3, 3, 1, 2),
        ('need_attention', 3, 3, 3, 3),
        ('loyal_customers', 3, 4, 4, 5),
        ('promising', 4, 4, 1, 1),
        ('new_customers', 5, 5, 1, 1),
        ('potential_loyalists', 4, 5, 2, 3),
        ('champions', 5, 5, 4, 5)
)
