-- Each order line as read, with the reason why it is left out, if any: the first that applies, in the order below.
--
-- Grain:      an order line (with duplicates = 'drop': a distinct line and how many copies of it there are)
-- Inputs:     order_line (registered from the source: our columns, typed, beside the verdicts of the user's predicates and what
--             rules.by says of a line, group_key)
-- Parameters: $run_end   timestamp, the first moment after the run date; null without one, or where no line is as late
--             $returns   'exclude', 'net' or 'keep'; 'error' leaves them out, too, for the run to refuse them
--             $unpriced  'keep' or 'exclude'
SELECT
    order_id,
    item_id,
    customer_id,
    order_ts,
    amount,
    group_key,
    copies,
    is_return AND $returns = 'net' AS is_refund,
    -- Of most lines one look tells that no reason applies: what it asks is true wherever one of those below is.
    CASE
        WHEN NOT passes_filter OR ($run_end IS NOT NULL AND order_ts >= $run_end) OR invalid_column IS NOT NULL OR is_return OR $unpriced = 'exclude' THEN
            CASE
                WHEN NOT passes_filter THEN 'filtered'
                WHEN $run_end IS NOT NULL AND order_ts >= $run_end THEN 'after_run_date'
                WHEN invalid_column IS NOT NULL THEN concat('invalid_', invalid_column)
                WHEN is_return AND $returns IN ('exclude', 'error') THEN 'return'
                WHEN $unpriced = 'exclude' AND coalesce(unit_price, amount, 0) = 0 THEN 'unpriced'
            END
    END AS left_out_as
FROM order_line
