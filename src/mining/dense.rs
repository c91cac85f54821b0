//! The search once at most 64 items may extend an itemset: a transaction is one machine word.

use std::ops::ControlFlow;

use super::{Extension, Miner};

/// The most items that a word holds.
pub(super) const MOST_ITEMS: usize = 64;

/// The most items whose subsets are all counted at once.
const MOST_COUNTED: usize = 16;

/// A transaction: a bit for each item.
#[derive(Debug, Clone, Copy)]
pub(super) struct Word {
    pub items: u64,
    pub weight: u32,
}

/// Memory kept from one conditional database to the next.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Conditional databases, each behind the one that it comes from.
    pub words: Vec<Word>,
    /// For each set of items how many transactions hold it.
    subsets: Vec<u32>,
}

impl Miner<'_> {
    /// Extends the prefix by the items of the words from `start` on, the last database of the scratch, and removes it.
    pub(super) fn mine_words(&mut self, start: usize, names: &[u32]) -> ControlFlow<()> {
        merge_equal(&mut self.dense.words, start);
        let more = if counts_all_subsets(names.len(), self.dense.words.len() - start) {
            self.count_subsets(start, names)
        } else {
            self.search_words(start, names)
        };
        self.dense.words.truncate(start);
        more
    }

    /// Extends the prefix by each item, and each of these itemsets by the items before it.
    fn search_words(&mut self, start: usize, names: &[u32]) -> ControlFlow<()> {
        let end = self.dense.words.len();
        for (item, &name) in names.iter().enumerate() {
            let bit = 1_u64 << item;
            let mut support = 0;
            let mut counts = [0_u32; MOST_ITEMS];
            for word in &self.dense.words[start..end] {
                if word.items & bit != 0 {
                    support += word.weight;
                    let mut others = word.items & (bit - 1);
                    while others != 0 {
                        counts[others.trailing_zeros() as usize % MOST_ITEMS] += word.weight;
                        others &= others - 1;
                    }
                }
            }
            let perfect_before = self.perfect.len();
            self.prefix.push(name);
            let mut extensions = [0_u8; MOST_ITEMS];
            let mut number = 0;
            for (other, &count) in counts[..item].iter().enumerate() {
                match self.judge(name, names[other], count, support) {
                    Extension::Perfect => self.perfect.push(names[other]),
                    Extension::Searched => {
                        extensions[number] = other as u8;
                        number += 1;
                    }
                    Extension::Infrequent => {}
                }
            }
            let mut more = self.emit(support);
            if more.is_continue() && number > 0 && !self.is_longest() {
                let extensions = &mut extensions[..number];
                extensions.sort_unstable_by_key(|other| std::cmp::Reverse(counts[*other as usize]));
                more = self.extend_words(start..end, bit, extensions, names);
            }
            self.prefix.pop();
            self.perfect.truncate(perfect_before);
            more?;
        }
        ControlFlow::Continue(())
    }

    /// The conditional database of the words that hold a bit, its items numbered anew, and the search in it.
    fn extend_words(
        &mut self,
        words: std::ops::Range<usize>,
        bit: u64,
        extensions: &[u8],
        names: &[u32],
    ) -> ControlFlow<()> {
        let mut extended = [0_u32; MOST_ITEMS];
        let mut numbers = [0_u8; MOST_ITEMS];
        let mut kept = 0_u64;
        for (number, &other) in extensions.iter().enumerate() {
            extended[number] = names[other as usize];
            numbers[other as usize] = number as u8;
            kept |= 1 << other;
        }
        let start = self.dense.words.len();
        for index in words {
            let word = self.dense.words[index];
            let mut others = word.items & kept;
            if word.items & bit != 0 && others != 0 {
                let mut items = 0;
                while others != 0 {
                    items |= 1 << numbers[others.trailing_zeros() as usize % MOST_ITEMS];
                    others &= others - 1;
                }
                self.dense.words.push(Word { items, weight: word.weight });
            }
        }
        self.mine_words(start, &extended[..extensions.len()])
    }

    /// Counts every subset of at most 16 items, then extends the prefix by those that are frequent.
    fn count_subsets(&mut self, start: usize, names: &[u32]) -> ControlFlow<()> {
        let mut subsets = std::mem::take(&mut self.dense.subsets);
        subsets.clear();
        subsets.resize(1 << names.len(), 0);
        for word in &self.dense.words[start..] {
            subsets[word.items as usize] += word.weight;
        }
        // the count of a set is that of all its supersets
        for item in 0..names.len() {
            for pair in subsets.chunks_exact_mut(2 << item) {
                let (without, with) = pair.split_at_mut(1 << item);
                without.iter_mut().zip(with).for_each(|(without, with)| *without += *with);
            }
        }
        let more = self.emit_subsets(&subsets, 0, names);
        self.dense.subsets = subsets;
        more
    }

    /// Whether an item of the prefix excludes another.
    fn is_excluded(&self, item: u32) -> bool {
        !self.exclusions.is_empty() && self.prefix.iter().any(|other| self.exclusions.exclude(*other, item))
    }

    fn emit_subsets(&mut self, subsets: &[u32], chosen: usize, names: &[u32]) -> ControlFlow<()> {
        if self.is_longest() {
            return ControlFlow::Continue(());
        }
        for (item, &name) in names.iter().enumerate() {
            let extended = chosen | 1 << item;
            let support = subsets[extended];
            if support >= self.thresholds.min_count && !self.is_excluded(name) {
                self.prefix.push(name);
                let more = match self.emit(support) {
                    ControlFlow::Continue(()) => self.emit_subsets(subsets, extended, &names[..item]),
                    done @ ControlFlow::Break(()) => done,
                };
                self.prefix.pop();
                more?;
            }
        }
        ControlFlow::Continue(())
    }
}

/// Whether counting all subsets of so many items takes less than searching so many words.
fn counts_all_subsets(items: usize, words: usize) -> bool {
    items <= 6 || (items <= MOST_COUNTED && 1 << items <= words * 16)
}

/// Makes one word of equal ones.
fn merge_equal(words: &mut Vec<Word>, start: usize) {
    let database = &mut words[start..];
    if database.len() < 2 {
        return;
    }
    database.sort_unstable_by_key(|word| word.items);
    let mut last = 0;
    for index in 1..database.len() {
        if database[index].items == database[last].items {
            database[last].weight += database[index].weight;
        } else {
            last += 1;
            database[last] = database[index];
        }
    }
    words.truncate(start + last + 1);
}
