-- How many lines were read, left out for each reason, and kept.
--
-- Grain:  a measure
-- Inputs: checked_line
-- Formula: a line is counted once, by its first reason; the second and later copies of a line that is otherwise kept
--          are duplicates. So read = kept + the sum of all reasons. Lines without customer or item are kept lines.
WITH by_reason AS (
    SELECT
        left_out_as,
        sum(copies) AS lines,
        count(*) AS distinct_lines,
        count(*) FILTER (WHERE customer_id IS NULL) AS without_customer,
        count(*) FILTER (WHERE item_id IS NULL) AS without_item
    FROM checked_line
    GROUP BY left_out_as
),

-- What each reason adds to which measures: read once, since the engine would read the lines again for each branch of a union.
counted AS (
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
    FROM by_reason
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
