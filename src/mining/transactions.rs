//! Weighted transactions in one flat vector.

use std::ops::Range;

/// Words before the items of a transaction: its weight and how many items it has.
const HEADER: usize = 2;

/// Bits of the number of items that stand before one in its transaction.
const PLACE_BITS: u32 = 24;

/// Transactions, one after the other, each a weight (how many equal ones there are), a length, and as many ranks, ascending.
///
/// Memory: 4 bytes for each item and 8 for each transaction.
#[derive(Debug, Clone, Default)]
pub struct Transactions {
    words: Vec<u32>,
    begun: Option<usize>,
}

impl Transactions {
    pub fn push(&mut self, items: &[u32], weight: u32) {
        debug_assert!(items.is_sorted_by(|a, b| a < b));
        self.words.extend([weight, items.len() as u32]);
        self.words.extend_from_slice(items);
    }

    /// Adds an item to the transaction that [`Self::close`] will end.
    pub(super) fn push_item(&mut self, item: u32) {
        if self.begun.is_none() {
            self.begun = Some(self.words.len());
            self.words.extend([0; HEADER]);
        }
        self.words.push(item);
    }

    /// Ends the transaction that was begun with [`Self::push_item`], if one was.
    pub(super) fn close(&mut self, weight: u32) {
        if let Some(start) = self.begun.take() {
            self.words[start] = weight;
            self.words[start + 1] = (self.words.len() - start - HEADER) as u32;
        }
    }

    /// Everything as words, for [`Self::extend`].
    #[must_use]
    pub fn words(&self) -> &[u32] {
        &self.words
    }

    /// Adds the transactions that [`Self::words`] gave, and takes no more memory than they need.
    pub fn extend(&mut self, words: &[u32]) {
        self.words.reserve_exact(words.len());
        self.words.extend_from_slice(words);
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The transactions with their weights.
    pub fn iter(&self) -> impl Iterator<Item = (&[u32], u32)> + '_ {
        self.starts().map(|start| (self.items(start), self.words[start]))
    }

    /// Where each transaction begins.
    fn starts(&self) -> impl Iterator<Item = usize> + '_ {
        let next = |start: usize| start + HEADER + self.words[start + 1] as usize;
        let first = Some(0).filter(|_| !self.words.is_empty());
        std::iter::successors(first, move |start| Some(next(*start)).filter(|next| *next < self.words.len()))
    }

    fn items(&self, start: usize) -> &[u32] {
        let items = start + HEADER;
        &self.words[items..items + self.words[start + 1] as usize]
    }

    /// Bytes on the heap.
    #[must_use]
    pub fn size(&self) -> usize {
        self.words.capacity() * size_of::<u32>()
    }
}

/// Where each item of a range occurs: the transactions that hold it, and how many items stand before it there.
#[derive(Debug)]
pub(super) struct Occurrences {
    first: u32,
    supports: Vec<u32>,
    starts: Vec<usize>,
    /// Where a transaction begins and a place in it, in one word: 1 trillion words of transactions, 16 million items in one.
    places: Vec<u64>,
}

impl Occurrences {
    pub fn new(transactions: &Transactions, ranks: &Range<u32>) -> Self {
        let items = (ranks.end - ranks.start) as usize;
        let mut supports = vec![0; items];
        let mut starts = vec![0; items + 1];
        for (transaction, weight) in transactions.iter() {
            // those of the range are the last
            for item in transaction.iter().rev().take_while(|item| **item >= ranks.start) {
                if *item < ranks.end {
                    let item = (item - ranks.start) as usize;
                    supports[item] += weight;
                    starts[item + 1] += 1;
                }
            }
        }
        for item in 0..items {
            starts[item + 1] += starts[item];
        }
        let mut next = starts.clone();
        let mut places = vec![0; starts[items]];
        for start in transactions.starts() {
            let items = transactions.items(start).iter().enumerate().rev();
            for (place, item) in items.take_while(|(_, item)| **item >= ranks.start) {
                if *item < ranks.end {
                    let slot = &mut next[(item - ranks.start) as usize];
                    places[*slot] = (start as u64) << PLACE_BITS | place as u64;
                    *slot += 1;
                }
            }
        }
        Self { first: ranks.start, supports, starts, places }
    }

    /// The weight of the transactions that hold an item.
    pub fn support(&self, item: u32) -> u32 {
        self.supports[(item - self.first) as usize]
    }

    /// The transactions that hold an item, each cut off before it, with their weights.
    pub fn prefixes<'a>(
        &'a self,
        transactions: &'a Transactions,
        item: u32,
    ) -> impl Iterator<Item = (&'a [u32], u32)> + Clone + 'a {
        let item = (item - self.first) as usize;
        self.places[self.starts[item]..self.starts[item + 1]].iter().map(|&place| {
            let start = (place >> PLACE_BITS) as usize;
            let before = (place & ((1 << PLACE_BITS) - 1)) as usize;
            let words = &transactions.words[start..start + HEADER + before];
            (&words[HEADER..], words[0])
        })
    }
}
