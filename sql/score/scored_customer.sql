-- The scored customers with the names that their scores give them: loyalty group, cell and segment.
--
-- Grain:      a customer
-- Inputs:     weighted_customer, loyalty_range, score_label (registered, one row of lists: the labels of the loyalty groups, the lowest
--             first, and the name and segment of each cell, in the order of recency, frequency and monetary score)
-- Parameters: $frequency_bins, $monetary_bins   scores go from 1 to these
-- Formula:    loyalty groups are by quantile, as in binned_customer.
WITH numbered AS (
    SELECT
        *,
        quantile_bin(loyalty_score, (SELECT shared(loyalty['values']) FROM loyalty_range)) AS group_number,
        ((recency_score - 1) * CAST($frequency_bins AS BIGINT) + frequency_score - 1) * CAST($monetary_bins AS BIGINT) + monetary_score AS cell_number
    FROM weighted_customer
)

SELECT
    customer_id,
    first_order_date,
    last_order_date,
    recency_days,
    tenure_days,
    orders,
    active_days,
    frequency,
    monetary,
    revenue,
    average_order_value,
    recency_score,
    frequency_score,
    monetary_score,
    label_at(cell_number, (SELECT shared(cells) FROM score_label)) AS rfm_cell,
    recency_scaled,
    frequency_scaled,
    monetary_scaled,
    loyalty_score,
    label_at(group_number, (SELECT shared(loyalty_groups) FROM score_label)) AS loyalty_group,
    label_at(cell_number, (SELECT shared(segments) FROM score_label)) AS segment
FROM numbered
