-- The scored customers with the names that their scores give them: loyalty group and segment.
--
-- Grain:   a customer
-- Inputs:  weighted_customer, segment_cell (registered: the cell and segment of each three scores), loyalty_group (the labels of the groups, numbered from 1, the lowest first),
--          loyalty_range
-- Formula: loyalty groups are by quantile, as in binned_customer.
WITH grouped AS (
    SELECT
        *,
        quantile_bin(loyalty_score, (SELECT shared(loyalty['values']) FROM loyalty_range)) AS group_number
    FROM weighted_customer
)

SELECT
    grouped.customer_id,
    grouped.first_order_date,
    grouped.last_order_date,
    grouped.recency_days,
    grouped.tenure_days,
    grouped.orders,
    grouped.active_days,
    grouped.frequency,
    grouped.monetary,
    grouped.revenue,
    grouped.average_order_value,
    grouped.recency_score,
    grouped.frequency_score,
    grouped.monetary_score,
    segment_cell.rfm_cell,
    grouped.recency_scaled,
    grouped.frequency_scaled,
    grouped.monetary_scaled,
    grouped.loyalty_score,
    loyalty_group.loyalty_group,
    segment_cell.segment
FROM grouped
LEFT JOIN loyalty_group ON grouped.group_number = loyalty_group.group_number
LEFT JOIN segment_cell
    ON
        grouped.recency_score = segment_cell.recency_score
        AND grouped.frequency_score = segment_cell.frequency_score
        AND grouped.monetary_score = segment_cell.monetary_score
