-- How many rules there are, before any is sorted or written.
--
-- Grain:  one row
-- Inputs: kept_rule
SELECT count(*) AS rules
FROM kept_rule
