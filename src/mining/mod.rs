//! The miner behind `frequent_itemsets`: all frequent itemsets of weighted transactions, in plain Rust.
//!
//! Items are ranks: 0 is the most frequent. An itemset belongs to its rarest item, so the ranks can be cut into ranges that are
//! mined apart, each over the transactions' prefixes up to the end of its range (Li et al. 2008, "PFP: parallel FP-growth").
//!
//! Within a range the search is depth first over conditional databases, as in FP-growth (Han et al. 2000) and LCM (Uno et al.
//! 2004). While more than 64 items may extend an itemset, a database is a list of lists (`sparse`); from there on a
//! transaction is one machine word (`dense`), and of at most 16 items all subsets are counted at once. An item that is in
//! every transaction of a conditional database extends all itemsets found in it and is not searched (perfect extensions).

use std::ops::{ControlFlow, Range};

mod dense;
mod exclusions;
mod index;
mod maximal;
mod sink;
mod sparse;
mod threshold;
mod transactions;

pub use exclusions::Exclusions;
pub use index::{Index, IndexBuilder};
pub use maximal::maximal;
pub use sink::{Collect, Count, Sink};
pub use threshold::MinSupport;
pub use transactions::Transactions;

/// Which itemsets to find.
#[derive(Debug, Clone, Copy)]
pub struct Thresholds {
    /// The least weight of the transactions that hold an itemset; at least 1.
    pub min_count: u32,
    /// The most items in an itemset.
    pub max_length: usize,
}

/// Finds the frequent itemsets whose rarest item lies in a range of ranks, but for those that hold a pair of items that exclude
/// one another.
///
/// Memory: besides the transactions, 8 bytes for each of their items in the range, and conditional databases, each smaller
/// than the one before.
pub fn mine(
    transactions: &Transactions,
    ranks: Range<u32>,
    thresholds: Thresholds,
    exclusions: &Exclusions,
    sink: &mut dyn Sink,
) -> ControlFlow<()> {
    let (prefix, perfect, dense) = (Vec::new(), Vec::new(), dense::Scratch::default());
    Miner { thresholds, exclusions, sink, prefix, perfect, dense }.mine(transactions, ranks, None)
}

/// The search: where it stands and where its itemsets go.
struct Miner<'a> {
    thresholds: Thresholds,
    exclusions: &'a Exclusions,
    sink: &'a mut dyn Sink,
    /// The itemset that is being extended. A conditional database holds no item that one of these excludes.
    prefix: Vec<u32>,
    /// Items that every transaction with the prefix holds; none where items exclude one another, since these might.
    perfect: Vec<u32>,
    dense: dense::Scratch,
}

impl Miner<'_> {
    /// Emits the prefix, alone and with each choice of its perfect extensions.
    fn emit(&mut self, support: u32) -> ControlFlow<()> {
        self.sink.itemsets(&mut self.prefix, &self.perfect, support, self.thresholds.max_length)
    }

    /// What becomes of an item that so many of the prefix's transactions hold: the prefix ends with `last`.
    fn judge(&self, last: u32, other: u32, count: u32, support: u32) -> Extension {
        if count < self.thresholds.min_count {
            Extension::Infrequent
        } else if self.exclusions.is_empty() {
            if count == support { Extension::Perfect } else { Extension::Searched }
        } else if self.exclusions.exclude(last, other) {
            Extension::Infrequent
        } else {
            Extension::Searched
        }
    }

    fn is_longest(&self) -> bool {
        self.prefix.len() >= self.thresholds.max_length
    }
}

/// What an item is to the itemset that it may extend.
enum Extension {
    Infrequent,
    Perfect,
    Searched,
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    /// The frequent itemsets by counting every subset of every transaction.
    fn brute_force(transactions: &[(BTreeSet<u32>, u32)], thresholds: Thresholds) -> BTreeMap<Vec<u32>, u32> {
        let mut counts = BTreeMap::new();
        for (items, weight) in transactions {
            let items: Vec<u32> = items.iter().copied().collect();
            for subset in 1_u32..1 << items.len() {
                let chosen: Vec<u32> =
                    (0..items.len()).filter(|bit| subset >> bit & 1 == 1).map(|bit| items[bit]).collect();
                if chosen.len() <= thresholds.max_length {
                    *counts.entry(chosen).or_default() += weight;
                }
            }
        }
        counts.retain(|_, count| *count >= thresholds.min_count);
        counts
    }

    fn mined(
        transactions: &[(BTreeSet<u32>, u32)],
        ranges: &[Range<u32>],
        thresholds: Thresholds,
        exclusions: &Exclusions,
    ) -> (BTreeMap<Vec<u32>, u32>, u64) {
        let mut found = BTreeMap::new();
        let mut count = Count::default();
        for range in ranges {
            let mut prefixes = Transactions::default();
            for (items, weight) in transactions {
                let items: Vec<u32> = items.iter().copied().filter(|item| *item < range.end).collect();
                if items.last().is_some_and(|last| *last >= range.start) {
                    prefixes.push(&items, *weight);
                }
            }
            let mut sink = Collect::new(usize::MAX);
            assert!(mine(&prefixes, range.clone(), thresholds, exclusions, &mut sink).is_continue());
            assert!(mine(&prefixes, range.clone(), thresholds, exclusions, &mut count).is_continue());
            for (items, support) in sink.iter() {
                let mut items = items.to_vec();
                items.sort_unstable();
                assert!(found.insert(items, support).is_none(), "an itemset was found twice");
            }
        }
        (found, count.itemsets)
    }

    fn check(
        transactions: &[(BTreeSet<u32>, u32)],
        cuts: &[u32],
        items: u32,
        thresholds: Thresholds,
        excluding: &[[u32; 2]],
    ) -> Result<(), TestCaseError> {
        let bounds: BTreeSet<u32> = cuts.iter().copied().chain([0, items]).collect();
        let bounds: Vec<u32> = bounds.into_iter().collect();
        let ranges: Vec<Range<u32>> = bounds.windows(2).map(|bounds| bounds[0]..bounds[1]).collect();
        let (found, count) = mined(transactions, &ranges, thresholds, &Exclusions::new(excluding));
        prop_assert_eq!(found.len() as u64, count);
        let mut expected = brute_force(transactions, thresholds);
        expected.retain(|itemset, _| {
            !excluding.iter().any(|[a, b]| a != b && itemset.contains(a) && itemset.contains(b))
        });
        prop_assert_eq!(found, expected);
        Ok(())
    }

    fn weighted(items: u32, most: usize, rows: usize) -> impl Strategy<Value = Vec<(BTreeSet<u32>, u32)>> {
        prop::collection::vec((prop::collection::btree_set(0..items, 0..=most), 1u32..4), 1..rows)
    }

    /// None or some pairs of distinct items.
    fn pairs(items: u32) -> impl Strategy<Value = Vec<[u32; 2]>> {
        let pair = (0..items, 1..items).prop_map(move |(item, step)| [item, (item + step) % items]);
        prop_oneof![Just(Vec::new()), prop::collection::vec(pair, 1..20)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn few_items_are_counted_as_by_brute_force(
            transactions in weighted(9, 9, 40), cuts in prop::collection::vec(0u32..9, 0..3),
            min_count in 1u32..12, max_length in 1usize..10, excluding in pairs(9),
        ) {
            check(&transactions, &cuts, 9, Thresholds { min_count, max_length }, &excluding)?;
        }

        #[test]
        fn many_items_are_counted_as_by_brute_force(
            transactions in weighted(400, 8, 60), shared in prop::collection::btree_set(0u32..400, 0..3),
            min_count in 1u32..4, max_length in 1usize..12, excluding in pairs(400),
        ) {
            let transactions: Vec<_> =
                transactions.into_iter().map(|(items, weight)| (&items | &shared, weight)).collect();
            check(&transactions, &[], 400, Thresholds { min_count, max_length }, &excluding)?;
        }

        #[test]
        fn dense_tables_are_counted_as_by_brute_force(
            missing in prop::collection::vec((prop::collection::btree_set(0u32..12, 0..5), 1u32..3), 1..30),
            min_count in 1u32..40, max_length in 1usize..14, excluding in pairs(12),
        ) {
            let all: BTreeSet<u32> = (0..12).collect();
            let transactions: Vec<_> =
                missing.into_iter().map(|(missing, weight)| (&all - &missing, weight)).collect();
            check(&transactions, &[5], 12, Thresholds { min_count, max_length }, &excluding)?;
        }
    }

    #[test]
    fn more_than_sixteen_items_of_many_transactions_are_searched_word_by_word() {
        // 20 items, each transaction lacks one: supports follow from the length alone
        let mut transactions = Transactions::default();
        for missing in 0..20 {
            let items: Vec<u32> = (0..20).filter(|item| *item != missing).collect();
            transactions.push(&items, 1);
        }
        let mut count = Count::default();
        let thresholds = Thresholds { min_count: 14, max_length: usize::MAX };
        assert!(mine(&transactions, 0..20, thresholds, &Exclusions::default(), &mut count).is_continue());
        let choose = |n: u64, k: u64| (0..k).fold(1, |product, i| product * (n - i) / (i + 1));
        assert_eq!(count.itemsets, (1..=6).map(|length| choose(20, length)).sum::<u64>());
    }

    #[test]
    fn a_sink_that_is_full_stops_the_search() {
        let mut transactions = Transactions::default();
        transactions.push(&(0..30).collect::<Vec<_>>(), 5);
        let mut sink = Collect::new(1000);
        let thresholds = Thresholds { min_count: 1, max_length: usize::MAX };
        assert!(mine(&transactions, 0..30, thresholds, &Exclusions::default(), &mut sink).is_break());
        assert!(sink.len() <= 1001);
    }
}
