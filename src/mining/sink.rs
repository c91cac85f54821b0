//! Where itemsets go: counted, or collected in flat arrays.

use std::ops::ControlFlow;

/// Takes the itemsets that the search finds.
pub trait Sink {
    /// Takes an itemset, alone and with each choice of the items that extend it without changing its support, as far as they
    /// are no longer than said. Breaks when it has enough. The itemset is given back as it was.
    fn itemsets(
        &mut self,
        itemset: &mut Vec<u32>,
        perfect: &[u32],
        support: u32,
        max_length: usize,
    ) -> ControlFlow<()>;
}

/// Counts itemsets.
#[derive(Debug, Clone, Copy, Default)]
pub struct Count {
    pub itemsets: u64,
}

impl Sink for Count {
    fn itemsets(
        &mut self,
        itemset: &mut Vec<u32>,
        perfect: &[u32],
        _support: u32,
        max_length: usize,
    ) -> ControlFlow<()> {
        let room = max_length - itemset.len();
        let extensions = perfect.len() as u64;
        self.itemsets += if perfect.len() <= room && extensions < 63 {
            1 << extensions
        } else {
            let choices = std::iter::successors(Some((1_u64, 0_u64)), |(choices, chosen)| {
                Some((choices.saturating_mul(extensions.saturating_sub(*chosen)) / (chosen + 1), chosen + 1))
            });
            choices.take(room.min(perfect.len()) + 1).map(|(choices, _)| choices).fold(0, u64::saturating_add)
        };
        ControlFlow::Continue(())
    }
}

/// Collects itemsets, each in the order in which the search found its items, up to a number of them.
///
/// Memory: 4 bytes for each item and 12 for each itemset.
#[derive(Debug)]
pub struct Collect {
    pub items: Vec<u32>,
    /// Where each itemset ends in `items`.
    pub ends: Vec<usize>,
    pub supports: Vec<u32>,
    limit: usize,
}

impl Collect {
    /// Breaks off once there are more itemsets than the limit.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { items: Vec::new(), ends: Vec::new(), supports: Vec::new(), limit }
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The itemsets with their supports.
    pub fn iter(&self) -> impl Iterator<Item = (&[u32], u32)> + '_ {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts
            .zip(&self.ends)
            .zip(&self.supports)
            .map(|((start, &end), &support)| (&self.items[start..end], support))
    }

    fn push(&mut self, itemset: &[u32], support: u32) -> ControlFlow<()> {
        self.items.extend_from_slice(itemset);
        self.ends.push(self.items.len());
        self.supports.push(support);
        if self.ends.len() > self.limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

impl Sink for Collect {
    fn itemsets(
        &mut self,
        itemset: &mut Vec<u32>,
        perfect: &[u32],
        support: u32,
        max_length: usize,
    ) -> ControlFlow<()> {
        self.push(itemset, support)?;
        if itemset.len() < max_length {
            for (chosen, item) in perfect.iter().enumerate() {
                itemset.push(*item);
                let more = self.itemsets(itemset, &perfect[chosen + 1..], support, max_length);
                itemset.pop();
                more?;
            }
        }
        ControlFlow::Continue(())
    }
}
