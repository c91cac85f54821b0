-- From which segment to which customers went since an earlier day.
--
-- Grain:   a pair of segments with customers: before is null for new ones, after for those whose orders have left the window
-- Inputs:  customer_before, scored_customer
-- Formula: revenue is all that customers had brought by that day, within the window.
SELECT
    earlier.segment AS segment_before,
    later.segment AS segment_after,
    count(*) AS customers,
    coalesce(sum(earlier.revenue), 0) AS revenue_before,
    coalesce(sum(later.revenue), 0) AS revenue_after
FROM customer_before AS earlier
FULL OUTER JOIN scored_customer AS later ON earlier.customer_id = later.customer_id
GROUP BY earlier.segment, later.segment
ORDER BY segment_before, segment_after
