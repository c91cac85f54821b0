-- The supports of all itemsets as one value, for rules to look up the counts of their sides.
--
-- Grain:  one row
-- Inputs: itemset_support
SELECT itemset_index(items, support_count) AS supports
FROM itemset_support
