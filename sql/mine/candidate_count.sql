-- How many baskets hold each candidate.
--
-- Grain:      one row: the counts in the candidates' order
-- Inputs:     basket
-- Parameters: $candidates  the candidates of one length, encoded
SELECT candidate_counts(items, $candidates) AS support_counts
FROM basket
