//! A set of `u32` for each group, kept as one flat vector: what `basket` and `customer_orders` collect.

use datafusion::logical_expr::EmitTo;

/// Below this many pairs nothing is compacted: sorting would cost more than it frees.
const COMPACT_FROM: usize = 1 << 16;

/// Sets of `u32`, one a group, as `(group, value)` pairs packed into `u64`s.
///
/// Duplicates are let in and removed by sorting whenever the vector has doubled since the last time, so memory is at
/// most 16 bytes for each distinct pair (plus the vector's own growth) and no group owns an allocation.
#[derive(Debug, Default)]
pub struct GroupedSets {
    pairs: Vec<u64>,
    compacted: usize,
}

/// The sets of the first groups, each ascending: set `g` is `values[offsets[g]..offsets[g + 1]]`.
#[derive(Debug, PartialEq, Eq)]
pub struct Sets {
    pub offsets: Vec<usize>,
    pub values: Vec<u32>,
}

impl Sets {
    /// The number of values in each set.
    pub fn lengths(&self) -> impl Iterator<Item = usize> + '_ {
        self.offsets.windows(2).map(|bounds| bounds[1] - bounds[0])
    }
}

impl GroupedSets {
    /// Adds a value to a group's set. A repetition of the last pair costs nothing: order lines often stand together.
    pub fn insert(&mut self, group: usize, value: u32) {
        let pair = pack(group, value);
        if self.pairs.last() == Some(&pair) {
            return;
        }
        if self.pairs.len() >= COMPACT_FROM.max(2 * self.compacted) {
            self.compact();
        }
        self.pairs.push(pair);
    }

    /// Takes the sets of the groups to emit, of `groups` in all; the groups that stay move to the front.
    pub fn take(&mut self, emit_to: EmitTo, groups: usize) -> Sets {
        self.compact();
        let emitted_groups = match emit_to {
            EmitTo::All => groups,
            EmitTo::First(first) => first,
        };
        let split = self.pairs.partition_point(|pair| group_of(*pair) < emitted_groups);
        let kept = self.pairs.split_off(split);
        let emitted = std::mem::replace(
            &mut self.pairs,
            kept.iter().map(|pair| pack(group_of(*pair) - emitted_groups, value_of(*pair))).collect(),
        );
        self.compacted = self.pairs.len();

        let mut offsets = Vec::with_capacity(emitted_groups + 1);
        offsets.push(0);
        let mut position = 0;
        for group in 0..emitted_groups {
            while position < emitted.len() && group_of(emitted[position]) == group {
                position += 1;
            }
            offsets.push(position);
        }
        Sets { offsets, values: emitted.into_iter().map(value_of).collect() }
    }

    /// Bytes on the heap.
    pub fn size(&self) -> usize {
        self.pairs.capacity() * size_of::<u64>()
    }

    fn compact(&mut self) {
        self.pairs.sort_unstable();
        self.pairs.dedup();
        self.compacted = self.pairs.len();
    }
}

fn pack(group: usize, value: u32) -> u64 {
    ((group as u64) << 32) | u64::from(value)
}

fn group_of(pair: u64) -> usize {
    (pair >> 32) as usize
}

#[allow(clippy::cast_possible_truncation)] // the low half is the value
fn value_of(pair: u64) -> u32 {
    pair as u32
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn emits_the_first_groups_and_renumbers_the_rest() {
        let mut sets = GroupedSets::default();
        for (group, value) in [(2, 7), (0, 9), (0, 3), (0, 9), (2, 1)] {
            sets.insert(group, value);
        }
        assert_eq!(sets.take(EmitTo::First(2), 3), Sets { offsets: vec![0, 2, 2], values: vec![3, 9] });
        assert_eq!(sets.take(EmitTo::All, 1), Sets { offsets: vec![0, 2], values: vec![1, 7] });
    }

    proptest! {
        #[test]
        fn holds_what_a_set_a_group_holds(pairs in prop::collection::vec((0usize..6, 0u32..6), 0..200)) {
            let mut sets = GroupedSets { compacted: 2, ..GroupedSets::default() };
            let mut expected = vec![BTreeSet::new(); 6];
            for (group, value) in pairs {
                sets.insert(group, value);
                expected[group].insert(value);
            }
            let taken = sets.take(EmitTo::All, 6);
            prop_assert_eq!(taken.lengths().collect::<Vec<_>>(), expected.iter().map(BTreeSet::len).collect::<Vec<_>>());
            prop_assert_eq!(taken.values, expected.into_iter().flatten().collect::<Vec<_>>());
        }
    }
}
