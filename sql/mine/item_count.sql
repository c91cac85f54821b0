-- How many baskets hold each item, and how large the conditional database is that mining it takes.
--
-- Grain:  an item of at least one basket
-- Inputs: basket
SELECT
    counted['item'] AS item,
    counted['support_count'] AS support_count,
    counted['preceding_items'] AS preceding_items
FROM (SELECT unnest(item_counts(items)) AS counted FROM basket)
