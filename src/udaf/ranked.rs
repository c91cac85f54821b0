//! Values with how often they occur, in order as far as that is needed: what `quantile_edges` collects.

use super::repetition::repeat;

/// Fewer values than this are no sample, and sorted as they are.
const COMPACT_FROM: usize = 1 << 15;

/// Numbers from 0 up to this are counted in place, where they are not far above how many there are: days and orders hardly go further, and
/// need no sorting then.
const COUNTED_IN_PLACE: usize = 1 << 12;

/// Distinct values in order with how often they occur, and those not sorted in yet. Values are numbers whose order is that
/// of what they stand for.
#[derive(Debug, Default)]
pub struct Ranked {
    pub values: Vec<i128>,
    pub counts: Vec<u64>,
    pub unsorted: Vec<i128>,
    /// How many of those make it worth while to see whether they repeat.
    look_at: usize,
    /// How often each small number occurs beside those.
    in_place: Vec<u64>,
    /// How many values came.
    pushed: usize,
}

impl Ranked {
    pub fn push(&mut self, value: i128) {
        self.pushed += 1;
        let most = COUNTED_IN_PLACE.min(self.in_place.len().max(4 * self.pushed));
        if let Some(place) = usize::try_from(value).ok().filter(|place| *place < most) {
            if place >= self.in_place.len() {
                self.in_place.resize(place + 1, 0);
            }
            self.in_place[place] += 1;
            return;
        }
        self.push_unsorted(value);
    }

    pub fn push_unsorted(&mut self, value: i128) {
        if self.unsorted.len() >= self.look_at.max(COMPACT_FROM) {
            self.make_room();
        }
        self.unsorted.push(value);
    }

    /// Sorts in what is unsorted, where values repeat. Others would take no less memory sorted.
    pub fn make_room(&mut self) {
        if repeat(self.unsorted.iter().chain(&self.values)) {
            self.sort_in();
            self.look_at = self.values.len();
        } else {
            self.look_at = 2 * self.unsorted.len();
        }
    }

    pub fn sort_in(&mut self) {
        let mut unsorted = std::mem::take(&mut self.unsorted);
        unsorted.sort_unstable();
        let runs = unsorted.chunk_by(|a, b| a == b).map(|run| (run[0], run.len() as u64));
        self.merge(runs);
        unsorted.clear();
        unsorted.shrink_to(COMPACT_FROM.max(self.values.len()));
        self.unsorted = unsorted;
    }

    /// Puts what was counted in place to the values in order.
    pub fn end_counting(&mut self) {
        let in_place = std::mem::take(&mut self.in_place);
        self.merge((0..).zip(in_place).filter(|(_, count)| *count > 0));
    }

    /// Adds ascending distinct values with their counts.
    pub fn merge(&mut self, others: impl Iterator<Item = (i128, u64)>) {
        let mut others = others.peekable();
        if others.peek().is_none() {
            return;
        }
        let (values, counts) = (std::mem::take(&mut self.values), std::mem::take(&mut self.counts));
        let mut own = values.into_iter().zip(counts).peekable();
        let mut add = |value: i128, count: u64| {
            self.values.push(value);
            self.counts.push(count);
        };
        for (value, mut count) in others {
            while let Some((before, count)) = own.next_if(|(own, _)| *own < value) {
                add(before, count);
            }
            if let Some((_, same)) = own.next_if(|(own, _)| *own == value) {
                count += same;
            }
            add(value, count);
        }
        own.for_each(|(value, count)| add(value, count));
    }

    /// All values with how often they occur, some of them several times; none is counted in place any more.
    pub fn counted(&self) -> impl Iterator<Item = (i128, u64)> {
        let sorted = self.values.iter().copied().zip(self.counts.iter().copied());
        sorted.chain(self.unsorted.iter().map(|value| (*value, 1)))
    }

    /// Whether so many are unsorted that to sort them all is work to be spared.
    pub fn has_many_unsorted(&self) -> bool {
        self.unsorted.len() >= COMPACT_FROM
    }

    /// The values that are wanted, in order.
    pub fn sorted(&self, is_wanted: impl Fn(i128) -> bool) -> Self {
        let sorted = self.values.iter().copied().zip(self.counts.iter().copied());
        let (values, counts) = sorted.filter(|(value, _)| is_wanted(*value)).unzip();
        let unsorted = self.unsorted.iter().copied().filter(|value| is_wanted(*value)).collect();
        let mut wanted = Self { values, counts, unsorted, ..Self::default() };
        wanted.sort_in();
        wanted
    }

    /// Bytes on the heap.
    pub fn size(&self) -> usize {
        (self.values.capacity() + self.unsorted.capacity()) * size_of::<i128>()
            + (self.counts.capacity() + self.in_place.capacity()) * size_of::<u64>()
    }
}
