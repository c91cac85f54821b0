-- An itemset has one row.
SELECT itemset, count(*) AS rows
FROM frequent_itemsets
GROUP BY itemset
HAVING count(*) > 1
