-- How many lines of customers lie before the window that rfm looks at.
--
-- Grain:      one row
-- Inputs:     line
-- Parameters: $window_start  the first moment whose orders count
SELECT count(*) AS lines
FROM line
WHERE customer_id IS NOT NULL AND order_ts < $window_start
