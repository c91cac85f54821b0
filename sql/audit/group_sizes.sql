-- No segment and no score has fewer customers than may be published.
SELECT 'rfm_segments' AS published, segment AS name, customers
FROM rfm_segments
WHERE customers <> 0 AND customers < CAST($minimum_group_size AS BIGINT)
UNION ALL
SELECT 'rfm_thresholds', dimension, customers
FROM rfm_thresholds
WHERE customers <> 0 AND customers < CAST($minimum_group_size AS BIGINT)
