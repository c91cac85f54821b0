-- How many lines were read, left out for each reason, and kept.
--
-- Grain:  a measure
-- Inputs: line_tally
-- Formula: a line is counted once, by its first reason; the second and later copies of a line that is otherwise kept
--          are duplicates. So read = kept + the sum of all reasons. Lines without customer or item are kept lines.
-- What each reason adds to which measures.
WITH counted AS (
    SELECT
        unnest(
            CASE
                WHEN left_out_as IS NULL
                    THEN make_array(
                        'lines_read', 'lines_kept', 'lines_duplicate', 'lines_without_customer', 'lines_without_item'
                    )
                ELSE make_array('lines_read', concat('lines_', left_out_as))
            END
        ) AS measure,
        unnest(
            CASE
                WHEN left_out_as IS NULL
                    THEN make_array(lines, distinct_lines, lines - distinct_lines, without_customer, without_item)
                ELSE make_array(lines, lines)
            END
        ) AS value
    FROM line_tally
),

-- Every measure has its row, also where nothing was counted.
measure AS (
    SELECT column1 AS measure
    FROM (
        VALUES
            ('lines_read'), ('lines_filtered'), ('lines_after_run_date'), ('lines_return'), ('lines_unpriced'),
            ('lines_duplicate'), ('lines_kept'), ('lines_without_customer'), ('lines_without_item'),
            ('lines_invalid_order_id'), ('lines_invalid_item_id'), ('lines_invalid_customer_id'),
            ('lines_invalid_order_ts'), ('lines_invalid_quantity'), ('lines_invalid_unit_price'),
            ('lines_invalid_amount')
    )
)

SELECT
    measure.measure,
    CAST(coalesce(sum(counted.value), 0) AS BIGINT) AS value
FROM measure
LEFT JOIN counted ON measure.measure = counted.measure
GROUP BY measure.measure
ORDER BY measure.measure
