//! The miner behind `frequent_itemsets`: all frequent itemsets of weighted transactions, in plain Rust.
//!
//! Items are ranks: 0 is the most frequent. An itemset belongs to its rarest item, so the ranks can be cut into ranges that are
//! mined apart, each over the transactions' prefixes up to the end of its range (Li et al. 2008, "PFP: parallel FP-growth").
//!
//! Within a range the search is depth first over conditional databases, as in FP-growth (Han et al. 2000) and LCM (Uno et al.
//! 2004). While more than 64 items may extend an itemset, a database is a list of lists ([`sparse`]); from there on a
//! transaction is one machine word ([`dense`]), and of at most 16 items all subsets are counted at once. An item that is in
//! every transaction of a conditional database extends all itemsets found in it and is not searched (perfect extensions).

use std::ops::{ControlFlow, Range};

mod dense;
mod index;
mod maximal;
mod sink;
mod sparse;
mod threshold;
mod transactions;

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

/// Finds the frequent itemsets whose rarest item lies in a range of ranks.
///
/// Memory: besides the transactions, 8 bytes for each of their items in the range, and conditional databases, each smaller
/// than the one before.
pub fn mine(
    transactions: &Transactions,
    ranks: Range<u32>,
    thresholds: Thresholds,
    sink: &mut dyn Sink,
) -> ControlFlow<()> {
    Miner { thresholds, sink, prefix: Vec::new(), perfect: Vec::new(), dense: dense::Scratch::default() }
        .mine(transactions, ranks, None)
}

/// The search: where it stands and where its itemsets go.
struct Miner<'a> {
    thresholds: Thresholds,
    sink: &'a mut dyn Sink,
    /// The itemset that is being extended.
    prefix: Vec<u32>,
    /// Items that every transaction with the prefix holds.
    perfect: Vec<u32>,
    dense: dense::Scratch,
}

impl Miner<'_> {
    /// Emits the prefix, alone and with each choice of its perfect extensions.
    fn emit(&mut self, support: u32) -> ControlFlow<()> {
        self.sink.itemsets(&mut self.prefix, &self.perfect, support, self.thresholds.max_length)
    }

    fn is_longest(&self) -> bool {
        self.prefix.len() >= self.thresholds.max_length
    }
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
            assert!(mine(&prefixes, range.clone(), thresholds, &mut sink).is_continue());
            assert!(mine(&prefixes, range.clone(), thresholds, &mut count).is_continue());
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
    ) -> Result<(), TestCaseError> {
        let bounds: BTreeSet<u32> = cuts.iter().copied().chain([0, items]).collect();
        let bounds: Vec<u32> = bounds.into_iter().collect();
        let ranges: Vec<Range<u32>> = bounds.windows(2).map(|bounds| bounds[0]..bounds[1]).collect();
        let (found, count) = mined(transactions, &ranges, thresholds);
        prop_assert_eq!(found.len() as u64, count);
        prop_assert_eq!(found, brute_force(transactions, thresholds));
        Ok(())
    }

    fn weighted(items: u32, most: usize, rows: usize) -> impl Strategy<Value = Vec<(BTreeSet<u32>, u32)>> {
        prop::collection::vec((prop::collection::btree_set(0..items, 0..=most), 1u32..4), 1..rows)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn few_items_are_counted_as_by_brute_force(
            transactions in weighted(9, 9, 40), cuts in prop::collection::vec(0u32..9, 0..3),
            min_count in 1u32..12, max_length in 1usize..10,
        ) {
            check(&transactions, &cuts, 9, Thresholds { min_count, max_length })?;
        }

        #[test]
        fn many_items_are_counted_as_by_brute_force(
            transactions in weighted(400, 8, 60), shared in prop::collection::btree_set(0u32..400, 0..3),
            min_count in 1u32..4, max_length in 1usize..12,
        ) {
            let transactions: Vec<_> =
                transactions.into_iter().map(|(items, weight)| (&items | &shared, weight)).collect();
            check(&transactions, &[], 400, Thresholds { min_count, max_length })?;
        }

        #[test]
        fn dense_tables_are_counted_as_by_brute_force(
            missing in prop::collection::vec((prop::collection::btree_set(0u32..12, 0..5), 1u32..3), 1..30),
            min_count in 1u32..40, max_length in 1usize..14,
        ) {
            let all: BTreeSet<u32> = (0..12).collect();
            let transactions: Vec<_> =
                missing.into_iter().map(|(missing, weight)| (&all - &missing, weight)).collect();
            check(&transactions, &[5], 12, Thresholds { min_count, max_length })?;
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
        assert!(mine(&transactions, 0..20, thresholds, &mut count).is_continue());
        let choose = |n: u64, k: u64| (0..k).fold(1, |product, i| product * (n - i) / (i + 1));
        assert_eq!(count.itemsets, (1..=6).map(|length| choose(20, length)).sum::<u64>());
    }

    #[test]
    fn a_sink_that_is_full_stops_the_search() {
        let mut transactions = Transactions::default();
        transactions.push(&(0..30).collect::<Vec<_>>(), 5);
        let mut sink = Collect::new(1000);
        let thresholds = Thresholds { min_count: 1, max_length: usize::MAX };
        assert!(mine(&transactions, 0..30, thresholds, &mut sink).is_break());
        assert!(sink.len() <= 1001);
    }
}
