//! The supports of itemsets by their items: a hash table in plain words, so that it can be a value in a query.

use hashbrown::HashSet;

/// Words before the items of an entry: their number and the two halves of the support.
const HEADER: usize = 3;

/// Builds an [`Index`]: entries one after the other.
///
/// Memory: 4 bytes for each item, 12 for each itemset, and 8 to 16 more when it is finished.
#[derive(Debug, Clone, Default)]
pub struct IndexBuilder {
    entries: Vec<u32>,
    itemsets: usize,
}

impl IndexBuilder {
    /// Adds an itemset: its items, ascending, and its support.
    pub fn push(&mut self, items: &[u32], support: u64) {
        self.entries.extend([items.len() as u32, support as u32, (support >> 32) as u32]);
        self.entries.extend_from_slice(items);
        self.itemsets += 1;
    }

    /// The entries, for [`Self::extend`].
    #[must_use]
    pub fn entries(&self) -> &[u32] {
        &self.entries
    }

    /// Adds what [`Self::entries`] gave.
    pub fn extend(&mut self, entries: &[u32]) {
        self.itemsets += starts(entries).count();
        self.entries.extend_from_slice(entries);
    }

    /// The finished table: the number of slots, the slots (one more than where an entry starts, 0 for none), the entries.
    #[must_use]
    pub fn finish(&self) -> Vec<u32> {
        let slots = (self.itemsets * 2).next_power_of_two();
        let mut words = vec![0; 1 + slots];
        words[0] = slots as u32;
        for start in starts(&self.entries) {
            let mut slot = slot_of(entry(&self.entries, start).0, slots);
            while words[1 + slot] != 0 {
                slot = (slot + 1) % slots;
            }
            words[1 + slot] = start as u32 + 1;
        }
        words.extend_from_slice(&self.entries);
        words
    }

    /// Bytes on the heap.
    #[must_use]
    pub fn size(&self) -> usize {
        self.entries.capacity() * size_of::<u32>()
    }
}

/// The supports of itemsets, looked up in the words that [`IndexBuilder::finish`] gave.
#[derive(Debug, Clone, Copy)]
pub struct Index<'a> {
    slots: &'a [u32],
    entries: &'a [u32],
}

impl<'a> Index<'a> {
    /// `None` when the words are something else.
    #[must_use]
    pub fn new(words: &'a [u32]) -> Option<Self> {
        let (&slots, rest) = words.split_first()?;
        let (slots, entries) = rest.split_at_checked(slots as usize)?;
        (!slots.is_empty()).then_some(Self { slots, entries })
    }

    /// The support of an itemset, its items ascending; `None` when it is not there.
    #[must_use]
    pub fn support(&self, items: &[u32]) -> Option<u64> {
        let mut slot = slot_of(items, self.slots.len());
        loop {
            let start = self.slots[slot].checked_sub(1)? as usize;
            let (found, support) = entry(self.entries, start);
            if found == items {
                return Some(support);
            }
            slot = (slot + 1) % self.slots.len();
        }
    }

    /// Whether a more general rule, with fewer items in the antecedent or none, has at least the confidence. All parts of the
    /// rule must be in the index. Looks at up to 2^n antecedents of n items, each once.
    #[must_use]
    pub fn is_redundant(&self, antecedent: &[u32], consequent: &[u32], baskets: u64) -> Option<bool> {
        let whole = union(antecedent, consequent);
        let confidence = (self.support(&whole)?, self.support(antecedent)?);
        let mut search = Search { index: *self, consequent, confidence, seen: HashSet::new() };
        let nothing = (self.support(consequent)?, baskets);
        Some(reaches(nothing, confidence) || search.is_reached_below(antecedent)?)
    }
}

/// Whether one fraction is at least another.
fn reaches((n, d): (u64, u64), (least_n, least_d): (u64, u64)) -> bool {
    u128::from(n) * u128::from(least_d) >= u128::from(least_n) * u128::from(d)
}

/// Goes through the antecedents that lack some items of a rule's.
struct Search<'a> {
    index: Index<'a>,
    consequent: &'a [u32],
    confidence: (u64, u64),
    seen: HashSet<Vec<u32>>,
}

impl Search<'_> {
    fn is_reached_below(&mut self, antecedent: &[u32]) -> Option<bool> {
        if antecedent.len() < 2 {
            return Some(false);
        }
        for left_out in 0..antecedent.len() {
            let mut general = antecedent.to_vec();
            general.remove(left_out);
            if self.seen.contains(&general) {
                continue;
            }
            let both = self.index.support(&union(&general, self.consequent))?;
            if reaches((both, self.index.support(&general)?), self.confidence)
                || self.is_reached_below(&general)?
            {
                return Some(true);
            }
            self.seen.insert(general);
        }
        Some(false)
    }
}

/// The items of both, ascending; they have none in common.
fn union(a: &[u32], b: &[u32]) -> Vec<u32> {
    let mut items = [a, b].concat();
    items.sort_unstable();
    items
}

fn entry(entries: &[u32], start: usize) -> (&[u32], u64) {
    let items = start + HEADER;
    let support = u64::from(entries[start + 1]) | u64::from(entries[start + 2]) << 32;
    (&entries[items..items + entries[start] as usize], support)
}

fn starts(entries: &[u32]) -> impl Iterator<Item = usize> + '_ {
    let next = |start: usize| start + HEADER + entries[start] as usize;
    let first = Some(0).filter(|_| !entries.is_empty());
    std::iter::successors(first, move |start| Some(next(*start)).filter(|next| *next < entries.len()))
}

/// The slot where the search for items begins: the same in every process.
fn slot_of(items: &[u32], slots: usize) -> usize {
    // FNV-1a over words in place of bytes, with its bits mixed at the end
    let hash = items.iter().fold(0xCBF2_9CE4_8422_2325_u64, |hash, item| {
        (hash ^ u64::from(*item)).wrapping_mul(0x0000_0100_0000_01B3).rotate_left(23)
    });
    (hash.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20) as usize & (slots - 1)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn finds_what_was_put_in(
            itemsets in prop::collection::btree_map(prop::collection::btree_set(0u32..9, 1..5), 0u64..u64::MAX, 0..60),
            split in 0usize..60,
        ) {
            let mut parts = [IndexBuilder::default(), IndexBuilder::default()];
            for (place, (items, support)) in itemsets.iter().enumerate() {
                let items: Vec<u32> = items.iter().copied().collect();
                parts[usize::from(place < split)].push(&items, *support);
            }
            let [mut one, other] = parts;
            one.extend(other.entries());
            let words = one.finish();
            let index = Index::new(&words).unwrap();
            for (items, support) in &itemsets {
                prop_assert_eq!(index.support(&items.iter().copied().collect::<Vec<_>>()), Some(*support));
            }
            prop_assert_eq!(index.support(&[0, 1, 2, 3, 4, 5]), None);
        }

        #[test]
        fn a_rule_is_redundant_as_its_definition_says(
            baskets in prop::collection::vec(prop::collection::btree_set(0u32..6, 1..6), 1..30),
        ) {
            let mut counts: BTreeMap<BTreeSet<u32>, u64> = BTreeMap::new();
            for basket in &baskets {
                for subset in 1_u32..64 {
                    let chosen: BTreeSet<u32> = (0..6).filter(|item| subset >> item & 1 == 1).collect();
                    if chosen.is_subset(basket) {
                        *counts.entry(chosen).or_default() += 1;
                    }
                }
            }
            let mut builder = IndexBuilder::default();
            for (items, support) in &counts {
                builder.push(&items.iter().copied().collect::<Vec<_>>(), *support);
            }
            let words = builder.finish();
            let index = Index::new(&words).unwrap();
            let total = baskets.len() as u64;
            for whole in counts.keys().filter(|items| items.len() > 1) {
                for subset in 1_u32..64 {
                    let consequent: BTreeSet<u32> = (0..6).filter(|item| subset >> item & 1 == 1).collect();
                    if !consequent.is_subset(whole) || consequent.len() == whole.len() {
                        continue;
                    }
                    let antecedent: BTreeSet<u32> = whole - &consequent;
                    let confidence = counts[whole] as f64 / counts[&antecedent] as f64;
                    let more_general = counts
                        .keys()
                        .filter(|general| general.is_subset(&antecedent) && **general != antecedent)
                        .map(|general| counts[&(general | &consequent)] as f64 / counts[general] as f64)
                        .chain([counts[&consequent] as f64 / total as f64]);
                    let expected = more_general.into_iter().any(|general| general >= confidence - 1e-12);
                    let list = |items: &BTreeSet<u32>| items.iter().copied().collect::<Vec<_>>();
                    prop_assert_eq!(index.is_redundant(&list(&antecedent), &list(&consequent), total), Some(expected));
                }
            }
        }
    }

    #[test]
    fn other_words_are_no_index() {
        assert!(Index::new(&[]).is_none());
        assert!(Index::new(&[4, 1]).is_none());
    }
}
