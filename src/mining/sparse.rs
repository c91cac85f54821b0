//! The search while many items may extend an itemset: conditional databases as lists of lists.

use std::ops::{ControlFlow, Range};

use super::dense::{self, Word};
use super::transactions::{Occurrences, Transactions};
use super::{Extension, Miner};

/// Not an item that extends the itemset.
const NONE: u32 = u32::MAX;

/// Counts that are looked at together.
const CHUNK: usize = 64;

impl Miner<'_> {
    /// Extends the prefix by each item of a range, the rarest of what is found. The items of a conditional database are
    /// numbered anew; `names` has their ranks.
    pub(super) fn mine(
        &mut self,
        transactions: &Transactions,
        range: Range<u32>,
        names: Option<&[u32]>,
    ) -> ControlFlow<()> {
        if self.is_longest() {
            return ControlFlow::Continue(());
        }
        let occurrences = Occurrences::new(transactions, &range);
        let mut counts = vec![0_u32; range.end as usize];
        let mut numbers = vec![NONE; range.end as usize];
        for item in range {
            let support = occurrences.support(item);
            if support < self.thresholds.min_count {
                continue;
            }
            let before = self.perfect.len();
            self.prefix.push(name_of(names, item));
            let more = if self.is_longest() {
                self.emit(support)
            } else {
                let counts = &mut counts[..item as usize];
                counts.fill(0);
                for (prefix, weight) in occurrences.prefixes(transactions, item) {
                    for &other in prefix {
                        counts[other as usize] += weight;
                    }
                }
                let extensions = self.extensions(name_of(names, item), counts, support, names);
                let prefixes = occurrences.prefixes(transactions, item);
                self.extend(prefixes, support, &extensions, &mut numbers, names)
            };
            self.prefix.pop();
            self.perfect.truncate(before);
            more?;
        }
        ControlFlow::Continue(())
    }

    /// The items that extend the prefix, which ends with `last`, to a frequent itemset; those that all its transactions hold
    /// are noted as perfect.
    fn extensions(&mut self, last: u32, counts: &[u32], support: u32, names: Option<&[u32]>) -> Vec<u32> {
        let mut extensions = Vec::new();
        let min_count = self.thresholds.min_count;
        for (chunk, counts) in counts.chunks(CHUNK).enumerate() {
            // mostly nothing in a chunk is frequent, which is told for many counts at a time
            if counts.iter().copied().fold(0, u32::max) < min_count {
                continue;
            }
            for (place, &count) in counts.iter().enumerate() {
                let other = (chunk * CHUNK + place) as u32;
                match self.judge(last, name_of(names, other), count, support) {
                    Extension::Perfect => self.perfect.push(name_of(names, other)),
                    Extension::Searched => extensions.push(other),
                    Extension::Infrequent => {}
                }
            }
        }
        if extensions.len() <= dense::MOST_ITEMS {
            // the most frequent first, so that the rarest, searched last, has all others to extend it
            extensions.sort_by_key(|other| std::cmp::Reverse(counts[*other as usize]));
        }
        extensions
    }

    fn extend<'t>(
        &mut self,
        prefixes: impl Iterator<Item = (&'t [u32], u32)> + Clone,
        support: u32,
        extensions: &[u32],
        numbers: &mut [u32],
        names: Option<&[u32]>,
    ) -> ControlFlow<()> {
        self.emit(support)?;
        if extensions.is_empty() {
            return ControlFlow::Continue(());
        }
        for (number, &other) in (0_u32..).zip(extensions) {
            numbers[other as usize] = number;
        }
        let extended: Vec<u32> = extensions.iter().map(|other| name_of(names, *other)).collect();
        let more = if extensions.len() <= dense::MOST_ITEMS {
            let start = self.dense.words.len();
            for (prefix, weight) in prefixes {
                let word = prefix
                    .iter()
                    .map(|other| numbers[*other as usize])
                    .filter(|number| *number != NONE)
                    .fold(0_u64, |word, number| word | 1 << number);
                if word != 0 {
                    self.dense.words.push(Word { items: word, weight });
                }
            }
            self.mine_words(start, &extended)
        } else {
            let mut conditional = Transactions::default();
            for (prefix, weight) in prefixes {
                for other in prefix {
                    let number = numbers[*other as usize];
                    if number != NONE {
                        conditional.push_item(number);
                    }
                }
                conditional.close(weight);
            }
            self.mine(&conditional, 0..extended.len() as u32, Some(&extended))
        };
        for &other in extensions {
            numbers[other as usize] = NONE;
        }
        more
    }
}

fn name_of(names: Option<&[u32]>, item: u32) -> u32 {
    names.map_or(item, |names| names[item as usize])
}
