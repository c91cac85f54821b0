//! A set of numbers for each group, all kept together as pairs: what `basket` and `customer_orders` collect.

use std::fmt::Debug;
use std::hash::Hash;

use datafusion::logical_expr::EmitTo;

use super::repetition::repeat;

/// Pairs in the first chunk, and at most in one: each holds as many as all before it together. Few in tests, for these to reach several.
const FIRST_CHUNK: usize = 1 << 4;
const CHUNK: usize = if cfg!(test) { 1 << 6 } else { 1 << 16 };

/// Below this many pairs nothing is compacted: it would cost more than it frees.
const COMPACT_FROM: usize = CHUNK;

/// Sets of numbers, one a group, as pairs of a group and a value in the order in which they came, so that no group owns an allocation.
///
/// Duplicates are let in. Once there are twice as many pairs as distinct ones were last time, they are removed by a counting
/// sort, unless a sample of the pairs tells that there are hardly any. So memory is at most about twice the bytes of a number
/// and of its group for each distinct pair.
#[derive(Debug)]
pub struct GroupedSets<V> {
    /// Chunks that are full: they are not copied when there are more.
    full: Vec<Chunk<V>>,
    filling: Chunk<V>,
    /// Pairs in chunks that are full.
    in_full: usize,
    compact_at: usize,
}

/// Some pairs: their groups and their values.
#[derive(Debug)]
struct Chunk<V> {
    groups: Vec<u32>,
    values: Vec<V>,
}

impl<V> Chunk<V> {
    fn with_capacity(pairs: usize) -> Self {
        Self { groups: Vec::with_capacity(pairs), values: Vec::with_capacity(pairs) }
    }

    fn size(&self) -> usize {
        self.groups.capacity() * size_of::<u32>() + self.values.capacity() * size_of::<V>()
    }
}

impl<V> Default for GroupedSets<V> {
    fn default() -> Self {
        Self { full: Vec::new(), filling: Chunk::with_capacity(0), in_full: 0, compact_at: 0 }
    }
}

/// The sets of the first groups: set `g` is `values[offsets[g]..offsets[g + 1]]`.
#[derive(Debug, PartialEq, Eq)]
pub struct Sets<V> {
    pub offsets: Vec<usize>,
    pub values: Vec<V>,
}

/// No sets.
impl<V> Default for Sets<V> {
    fn default() -> Self {
        Self { offsets: vec![0], values: Vec::new() }
    }
}

impl<V: Copy> Sets<V> {
    pub fn iter(&self) -> impl Iterator<Item = &[V]> {
        self.offsets.windows(2).map(|bounds| &self.values[bounds[0]..bounds[1]])
    }

    /// Adds the next set.
    pub fn push(&mut self, values: &[V]) {
        self.values.extend_from_slice(values);
        self.offsets.push(self.values.len());
    }
}

impl<V: Copy + Default + Ord + Hash + Debug> GroupedSets<V> {
    /// Adds a value to a group's set. A repetition of the last pair costs nothing: order lines often stand together.
    #[inline]
    pub fn insert(&mut self, group: usize, value: V) {
        let group = group as u32;
        let Chunk { groups, values } = &self.filling;
        if groups.last() == Some(&group) && values.last() == Some(&value) {
            return;
        }
        if values.len() == values.capacity() {
            self.make_room();
        }
        self.filling.groups.push(group);
        self.filling.values.push(value);
    }

    /// Removes duplicates when it is time to, and begins a chunk unless that left the one that was full with room.
    fn make_room(&mut self) {
        if self.len() >= self.compact_at.max(COMPACT_FROM) {
            let pairs = self
                .chunks()
                .flat_map(|chunk| chunk.groups.iter().copied().zip(chunk.values.iter().copied()));
            if repeat(pairs) {
                self.compact();
            }
            self.compact_at = 2 * self.len();
        }
        if self.filling.values.len() == self.filling.values.capacity() {
            let larger = Chunk::with_capacity(self.len().clamp(FIRST_CHUNK, CHUNK));
            let full = std::mem::replace(&mut self.filling, larger);
            if !full.values.is_empty() {
                self.in_full += full.values.len();
                self.full.push(full);
            }
        }
    }

    /// How many pairs there are.
    fn len(&self) -> usize {
        self.in_full + self.filling.values.len()
    }

    /// Takes the sets of the groups to emit, of `groups` in all; the groups that stay move to the front.
    pub fn take(&mut self, emit_to: EmitTo, groups: usize) -> Sets<V> {
        self.take_with_repetitions(emit_to, groups).sorted()
    }

    /// The same as the values came: in any order, some of them several times.
    pub fn take_with_repetitions(&mut self, emit_to: EmitTo, groups: usize) -> Sets<V> {
        let mut sets = std::mem::take(self).by_group(groups);
        if let EmitTo::First(first) = emit_to {
            let kept = sets.offsets.split_off(first + 1);
            self.fill(sets.offsets[first], &kept, &sets.values);
            sets.values.truncate(sets.offsets[first]);
        }
        sets
    }

    /// Adds sets that end where it is said, the first of which begins at `start`.
    fn fill(&mut self, mut start: usize, ends: &[usize], values: &[V]) {
        for (group, end) in ends.iter().enumerate() {
            for value in &values[start..*end] {
                self.insert(group, *value);
            }
            start = *end;
        }
    }

    /// Bytes on the heap.
    pub fn size(&self) -> usize {
        let of_full = self.in_full * (size_of::<u32>() + size_of::<V>());
        self.full.capacity() * size_of::<Chunk<V>>() + of_full + self.filling.size()
    }

    fn chunks(&self) -> impl Iterator<Item = &Chunk<V>> {
        self.full.iter().chain([&self.filling])
    }

    fn compact(&mut self) {
        let groups =
            self.chunks().flat_map(|chunk| &chunk.groups).max().map_or(0, |group| *group as usize + 1);
        let sets = std::mem::take(self).by_group(groups).sorted();
        // no pair comes twice: this does not compact again
        self.compact_at = usize::MAX;
        self.fill(0, &sets.offsets[1..], &sets.values);
    }

    /// The values by group, by counting sort.
    fn by_group(self, groups: usize) -> Sets<V> {
        let mut offsets = vec![0_usize; groups + 1];
        for group in self.chunks().flat_map(|chunk| &chunk.groups) {
            offsets[*group as usize + 1] += 1;
        }
        for group in 0..groups {
            offsets[group + 1] += offsets[group];
        }
        let mut next = offsets.clone();
        let mut values = vec![V::default(); self.len()];
        for chunk in self.full.into_iter().chain([self.filling]) {
            for (group, value) in chunk.groups.iter().zip(&chunk.values) {
                let place = &mut next[*group as usize];
                values[*place] = *value;
                *place += 1;
            }
        }
        Sets { offsets, values }
    }
}

impl<V: Copy + Ord> Sets<V> {
    /// Each set ascending and without repetition.
    fn sorted(mut self) -> Self {
        let Self { offsets, values } = &mut self;
        let (mut start, mut kept) = (0, 0);
        for end in &mut offsets[1..] {
            values[start..*end].sort_unstable();
            for place in start..*end {
                if place == start || values[place] != values[place - 1] {
                    values[kept] = values[place];
                    kept += 1;
                }
            }
            start = std::mem::replace(end, kept);
        }
        values.truncate(kept);
        self
    }
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

    /// What memory is at most for so many distinct pairs of 8 bytes.
    fn most(distinct: usize) -> usize {
        let pairs = 2 * distinct.max(COMPACT_FROM) + 2 * CHUNK;
        pairs * 8 + 2 * pairs / CHUNK * size_of::<Chunk<u32>>()
    }

    #[test]
    fn repetitions_do_not_pile_up() {
        // also where distinct pairs fill their chunks
        for half in [30 * CHUNK - 1, 30 * CHUNK, 30 * CHUNK + 1] {
            let mut sets = GroupedSets::<u32>::default();
            for round in 0..40 {
                for pair in 0..half {
                    // half of the pairs are new in the second round, then none is
                    sets.insert(pair % 100, (pair / 100 + if round > 0 { 0 } else { 1_000 }) as u32);
                }
            }
            assert!(sets.size() <= most(2 * half), "{half}: {}", sets.size());
            let values: usize = sets.take(EmitTo::All, 100).iter().map(<[_]>::len).sum();
            assert_eq!(values, 2 * half);
        }
    }

    #[test]
    fn repetitions_of_one_large_group_do_not_pile_up_beside_a_small_one() {
        let mut sets = GroupedSets::<i32>::default();
        sets.insert(0, 1);
        for day in 0..200_000 {
            sets.insert(1, day % 365);
        }
        assert!(sets.size() <= most(366), "{}", sets.size());
        assert_eq!(sets.take(EmitTo::All, 2).iter().map(<[_]>::len).collect::<Vec<_>>(), [1, 365]);
    }

    proptest! {
        #[test]
        fn holds_what_a_set_a_group_holds(pairs in prop::collection::vec((0usize..6, 0u32..60), 0..900), first in 0usize..7) {
            let mut sets = GroupedSets::default();
            let mut expected = vec![BTreeSet::new(); 6];
            for (place, (group, value)) in pairs.into_iter().enumerate() {
                sets.insert(group, value);
                expected[group].insert(value);
                if place % 70 == 0 {
                    sets.compact();
                }
            }
            let mut taken = sets.take(EmitTo::First(first), 6);
            let rest = sets.take(EmitTo::All, 6 - first);
            let lengths = taken.iter().chain(rest.iter()).map(<[_]>::len);
            prop_assert_eq!(lengths.collect::<Vec<_>>(), expected.iter().map(BTreeSet::len).collect::<Vec<_>>());
            taken.values.extend(rest.values);
            prop_assert_eq!(taken.values, expected.into_iter().flatten().collect::<Vec<_>>());
        }
    }
}
