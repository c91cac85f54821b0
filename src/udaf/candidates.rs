//! Candidate itemsets of one length, as they travel to `candidate_counts` and as the prefix tree it counts with.

use datafusion::common::{Result, ScalarValue, exec_err};

use super::word_literal;

/// Candidate itemsets of one length, each ascending, in lexicographic order; a candidate's number is its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidates {
    length: usize,
    items: Vec<u32>,
}

impl Candidates {
    /// From the items of all candidates, one after the other.
    ///
    /// # Errors
    /// When they are not ascending, distinct and of the length said: counting relies on it.
    pub fn try_new(length: usize, items: Vec<u32>) -> Result<Self> {
        if length == 0 || !items.len().is_multiple_of(length) {
            return exec_err!("{} items are no candidates of length {length}", items.len());
        }
        let ascending = items.chunks(length).all(|candidate| candidate.is_sorted_by(|a, b| a < b));
        let ordered = items.chunks(length).is_sorted_by(|a, b| a < b);
        if !(ascending && ordered) {
            return exec_err!("candidates must be distinct, in order, and each of them ascending");
        }
        Ok(Self { length, items })
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len() / self.length
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The literal for a query: the length, then the items.
    #[must_use]
    pub fn to_literal(&self) -> ScalarValue {
        let length = u32::try_from(self.length).unwrap_or(u32::MAX);
        word_literal::encode(std::iter::once(length).chain(self.items.iter().copied()))
    }

    /// Reads what [`Self::to_literal`] wrote.
    ///
    /// # Errors
    /// When it is something else.
    pub fn from_literal(literal: &ScalarValue) -> Result<Self> {
        let words = word_literal::decode(literal)?;
        let Some((length, items)) = words.split_first() else {
            return exec_err!("a literal without words is no candidates");
        };
        Self::try_new(*length as usize, items.to_vec())
    }
}

/// The candidates as a prefix tree in flat arrays: level `d` holds the distinct prefixes of length `d + 1` in order.
#[derive(Debug)]
pub struct PrefixTree {
    levels: Vec<Level>,
    /// For each item the last basket that held it, so that a look-up is one comparison.
    seen_in: Vec<u64>,
    basket_number: u64,
    kept: Vec<u32>,
}

#[derive(Debug, Default)]
struct Level {
    items: Vec<u32>,
    /// Where each node's children begin in the next level; one more at the end.
    children: Vec<usize>,
}

impl PrefixTree {
    #[must_use]
    pub fn new(candidates: &Candidates) -> Self {
        let mut levels: Vec<Level> = (0..candidates.length).map(|_| Level::default()).collect();
        let mut previous: Option<&[u32]> = None;
        for candidate in candidates.items.chunks(candidates.length) {
            let shared = previous.map_or(0, |previous| {
                previous.iter().zip(candidate).take_while(|(before, now)| before == now).count()
            });
            for depth in shared..candidate.len() {
                let next_level = levels.get(depth + 1).map_or(0, |level| level.items.len());
                levels[depth].items.push(candidate[depth]);
                levels[depth].children.push(next_level);
            }
            previous = Some(candidate);
        }
        for depth in 0..levels.len() {
            let end = levels.get(depth + 1).map_or(0, |level| level.items.len());
            levels[depth].children.push(end);
        }
        let highest = candidates.items.iter().max().map_or(0, |item| *item as usize + 1);
        Self { levels, seen_in: vec![0; highest], basket_number: 0, kept: Vec::new() }
    }

    /// Adds one to the count of each candidate that the basket holds. The basket is ascending and without repetition.
    pub fn count(&mut self, basket: &[u32], counts: &mut [i64]) {
        self.basket_number += 1;
        self.kept.clear();
        for &item in basket {
            if let Some(seen) = self.seen_in.get_mut(item as usize) {
                *seen = self.basket_number;
                self.kept.push(item);
            }
        }
        let walk = Walk { levels: &self.levels, seen_in: &self.seen_in, basket_number: self.basket_number };
        walk.descend(0, 0..self.levels[0].items.len(), &self.kept, counts);
    }

    /// Bytes on the heap; the tree does not grow once it stands.
    #[must_use]
    pub fn size(&self) -> usize {
        let nodes: usize = self.levels.iter().map(|level| level.items.len()).sum();
        nodes * (size_of::<u32>() + size_of::<usize>()) + self.seen_in.capacity() * size_of::<u64>()
    }
}

/// One basket's way through the tree.
struct Walk<'a> {
    levels: &'a [Level],
    seen_in: &'a [u64],
    basket_number: u64,
}

impl Walk<'_> {
    /// Visits the nodes of a level that the rest of the basket holds, and below them. Goes through the nodes or
    /// through the basket, whichever is shorter.
    fn descend(&self, depth: usize, nodes: std::ops::Range<usize>, rest: &[u32], counts: &mut [i64]) {
        let still_needed = self.levels.len() - depth;
        if rest.len() < still_needed {
            return;
        }
        let level = &self.levels[depth];
        let items = &level.items[nodes.clone()];
        if items.len() <= rest.len() * 4 {
            for (offset, &item) in items.iter().enumerate() {
                if self.seen_in[item as usize] == self.basket_number {
                    self.visit(depth, nodes.start + offset, rest, counts);
                }
            }
        } else {
            let mut from = 0;
            for (position, item) in rest[..=rest.len() - still_needed].iter().enumerate() {
                match items[from..].binary_search(item) {
                    Ok(found) => {
                        self.visit(depth, nodes.start + from + found, &rest[position..], counts);
                        from += found + 1;
                    }
                    Err(next) => from += next,
                }
            }
        }
    }

    fn visit(&self, depth: usize, node: usize, rest: &[u32], counts: &mut [i64]) {
        if depth + 1 == self.levels.len() {
            counts[node] += 1;
            return;
        }
        let item = self.levels[depth].items[node];
        let after = rest.partition_point(|other| *other <= item);
        let children = &self.levels[depth].children;
        self.descend(depth + 1, children[node]..children[node + 1], &rest[after..], counts);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rejects_what_is_out_of_order() {
        assert!(Candidates::try_new(2, vec![1, 2, 1, 3]).is_ok());
        assert!(Candidates::try_new(2, vec![2, 1]).is_err());
        assert!(Candidates::try_new(2, vec![1, 3, 1, 2]).is_err());
        assert!(Candidates::try_new(2, vec![1, 2, 3]).is_err());
        assert!(Candidates::from_literal(&ScalarValue::Binary(Some(vec![1, 0, 0]))).is_err());
    }

    proptest! {
        #[test]
        fn counts_what_a_look_at_every_candidate_counts(
            length in 1usize..5,
            wanted in prop::collection::btree_set(prop::collection::btree_set(0u32..12, 1..5), 1..60),
            baskets in prop::collection::vec(prop::collection::btree_set(0u32..14, 0..10), 0..30),
        ) {
            let wanted: Vec<Vec<u32>> = wanted
                .into_iter()
                .filter(|candidate| candidate.len() == length)
                .map(|candidate| candidate.into_iter().collect())
                .collect();
            let candidates = Candidates::try_new(length, wanted.concat()).unwrap();
            prop_assert_eq!(&Candidates::from_literal(&candidates.to_literal()).unwrap(), &candidates);

            let mut tree = PrefixTree::new(&candidates);
            let mut counts = vec![0; candidates.len()];
            for basket in &baskets {
                tree.count(&basket.iter().copied().collect::<Vec<_>>(), &mut counts);
            }
            let holds = |basket: &BTreeSet<u32>, candidate: &[u32]| candidate.iter().all(|item| basket.contains(item));
            let expected: Vec<i64> = wanted
                .iter()
                .map(|candidate| baskets.iter().filter(|basket| holds(basket, candidate)).count() as i64)
                .collect();
            prop_assert_eq!(counts, expected);
        }
    }
}
