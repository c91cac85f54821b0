//! A set of numbers for each group, kept as one flat vector: what `basket` and `customer_orders` collect.

use std::fmt::Debug;
use std::hash::{BuildHasher, Hash};

use datafusion::logical_expr::EmitTo;
use hashbrown::DefaultHashBuilder;

/// Below this many pairs nothing is compacted: it would cost more than it frees.
const COMPACT_FROM: usize = 1 << 16;

/// Of how many distinct pairs one is looked at, to tell whether pairs repeat, and how few are no sample.
const SAMPLED: u64 = 64;
const LEAST_SAMPLE: usize = 256;

/// Sets of numbers, one a group, as two flat vectors: the groups and their values, pair by pair, so that no group owns an
/// allocation.
///
/// Duplicates are let in. Once there are twice as many pairs as distinct ones were last time, they are removed by a counting
/// sort, unless a sample of the pairs tells that there are hardly any. So memory is at most about twice the bytes of a number
/// and of its group for each distinct pair, besides the vectors' own growth.
#[derive(Debug)]
pub struct GroupedSets<V> {
    groups: Vec<u32>,
    values: Vec<V>,
    compact_at: usize,
}

impl<V> Default for GroupedSets<V> {
    fn default() -> Self {
        Self { groups: Vec::new(), values: Vec::new(), compact_at: 0 }
    }
}

/// The sets of the first groups, each ascending: set `g` is `values[offsets[g]..offsets[g + 1]]`.
#[derive(Debug, PartialEq, Eq)]
pub struct Sets<V> {
    pub offsets: Vec<usize>,
    pub values: Vec<V>,
}

impl<V> Sets<V> {
    /// The number of values in each set.
    pub fn lengths(&self) -> impl Iterator<Item = usize> + '_ {
        self.offsets.windows(2).map(|bounds| bounds[1] - bounds[0])
    }
}

impl<V: Copy + Default + Ord + Hash + Debug> GroupedSets<V> {
    /// Adds a value to a group's set. A repetition of the last pair costs nothing: order lines often stand together.
    pub fn insert(&mut self, group: usize, value: V) {
        let group = group as u32;
        if self.groups.last() == Some(&group) && self.values.last() == Some(&value) {
            return;
        }
        if self.values.len() >= self.compact_at.max(COMPACT_FROM) {
            if self.repeats() {
                self.compact();
            }
            self.compact_at = 2 * self.values.len();
        }
        self.groups.push(group);
        self.values.push(value);
    }

    /// Takes the sets of the groups to emit, of `groups` in all; the groups that stay move to the front.
    pub fn take(&mut self, emit_to: EmitTo, groups: usize) -> Sets<V> {
        let mut sets = self.sets(groups);
        *self = Self::default();
        if let EmitTo::First(first) = emit_to {
            let start = sets.offsets[first];
            let kept: Vec<usize> = sets.offsets.split_off(first);
            self.values = sets.values.split_off(start);
            self.groups = groups_of(&kept);
            sets.offsets.push(start);
            self.compact_at = 2 * self.values.len();
        }
        sets
    }

    /// Bytes on the heap.
    pub fn size(&self) -> usize {
        self.groups.capacity() * size_of::<u32>() + self.values.capacity() * size_of::<V>()
    }

    /// Whether an eighth of the pairs or more repeat others, by a sample that has all copies of a pair or none.
    fn repeats(&self) -> bool {
        let pairs = self.groups.iter().copied().zip(self.values.iter().copied());
        let hash = DefaultHashBuilder::default();
        let mut sample: Vec<(u32, V)> = pairs.filter(|pair| hash.hash_one(pair) % SAMPLED == 0).collect();
        let before = sample.len();
        sample.sort_unstable();
        sample.dedup();
        before < LEAST_SAMPLE || sample.len() <= before / 8 * 7
    }

    fn compact(&mut self) {
        let groups = self.groups.iter().max().map_or(0, |group| *group as usize + 1);
        let sets = self.sets(groups);
        self.groups = groups_of(&sets.offsets);
        self.values = sets.values;
    }

    /// The values by group, by counting sort, each group's then sorted and without repetition.
    fn sets(&self, groups: usize) -> Sets<V> {
        let mut next = vec![0_usize; groups + 1];
        for group in &self.groups {
            next[*group as usize + 1] += 1;
        }
        for group in 0..groups {
            next[group + 1] += next[group];
        }
        let mut values = vec![V::default(); self.values.len()];
        for (group, value) in self.groups.iter().zip(&self.values) {
            let place = &mut next[*group as usize];
            values[*place] = *value;
            *place += 1;
        }
        // each place has moved on to the end of its group
        let mut offsets = Vec::with_capacity(groups + 1);
        offsets.push(0);
        let (mut start, mut kept) = (0, 0);
        for end in &next[..groups] {
            values[start..*end].sort_unstable();
            for place in start..*end {
                if place == start || values[place] != values[place - 1] {
                    values[kept] = values[place];
                    kept += 1;
                }
            }
            start = *end;
            offsets.push(kept);
        }
        values.truncate(kept);
        Sets { offsets, values }
    }
}

/// The group of each value.
fn groups_of(offsets: &[usize]) -> Vec<u32> {
    let lengths = offsets.windows(2).map(|bounds| bounds[1] - bounds[0]);
    (0_u32..).zip(lengths).flat_map(|(group, length)| std::iter::repeat_n(group, length)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn emits_the_first_groups_and_renumbers_the_rest() {
        let mut sets = GroupedSets::<u32>::default();
        for (group, value) in [(2, 7), (0, 9), (0, 3), (0, 9), (2, 1)] {
            sets.insert(group, value);
        }
        assert_eq!(sets.take(EmitTo::First(2), 3), Sets { offsets: vec![0, 2, 2], values: vec![3, 9] });
        assert_eq!(sets.take(EmitTo::All, 1), Sets { offsets: vec![0, 2], values: vec![1, 7] });
    }

    #[test]
    fn repetitions_do_not_pile_up() {
        let mut sets = GroupedSets::<u32>::default();
        for round in 0..40_u32 {
            for pair in 0..30_000_usize {
                // half of the pairs are new at first, then none is
                sets.insert(pair % 5_000, (pair / 5_000) as u32 + 6 * round.min(2));
            }
        }
        assert!(sets.values.len() <= 2 * 90_000 + COMPACT_FROM, "{}", sets.values.len());
        assert_eq!(sets.take(EmitTo::All, 5_000).lengths().collect::<Vec<_>>(), vec![18; 5_000]);
    }

    #[test]
    fn repetitions_of_one_large_group_do_not_pile_up_beside_a_small_one() {
        let mut sets = GroupedSets::<i32>::default();
        sets.insert(0, 1);
        for day in 0..2_000_000 {
            sets.insert(1, day % 365);
        }
        assert!(sets.values.len() <= 2 * COMPACT_FROM, "{}", sets.values.len());
        assert_eq!(sets.take(EmitTo::All, 2).lengths().collect::<Vec<_>>(), [1, 365]);
    }

    proptest! {
        #[test]
        fn holds_what_a_set_a_group_holds(pairs in prop::collection::vec((0usize..6, 0u32..6), 0..200)) {
            let mut sets = GroupedSets::default();
            let mut expected = vec![BTreeSet::new(); 6];
            for (place, (group, value)) in pairs.into_iter().enumerate() {
                sets.insert(group, value);
                expected[group].insert(value);
                if place % 7 == 0 {
                    sets.compact();
                }
            }
            let taken = sets.take(EmitTo::All, 6);
            prop_assert_eq!(taken.lengths().collect::<Vec<_>>(), expected.iter().map(BTreeSet::len).collect::<Vec<_>>());
            prop_assert_eq!(taken.values, expected.into_iter().flatten().collect::<Vec<_>>());
        }
    }
}
