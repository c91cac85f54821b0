//! Which group a number and a code belong to: a hash table whose entries tell all that decides.

/// A group by its number and its code, in a quarter of a line of the cache.
#[derive(Debug, Clone, Copy)]
#[repr(align(16))]
struct Entry {
    number: i64,
    code: u32,
    group: u32,
}

/// The code of an entry without a group.
const NO_CODE: u32 = u32::MAX;

const EMPTY: Entry = Entry { number: 0, code: NO_CODE, group: 0 };

/// Numbers groups from 0 as they come, by open addressing: a group stands in the first free place from where its hash points to. It
/// takes 21 to 43 bytes a group.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// A power of two of them, at most three quarters taken.
    entries: Vec<Entry>,
    groups: usize,
}

impl Table {
    pub(super) fn groups(&self) -> usize {
        self.groups
    }

    /// The group of each row, by its number and its code, which is less than [`NO_CODE`].
    pub(super) fn find(&mut self, numbers: &[i64], codes: &[u32], group_of: &mut Vec<usize>) {
        self.make_room(numbers.len());
        let Self { entries, groups } = self;
        let last = entries.len() - 1;
        group_of.clear();
        group_of.extend(numbers.iter().zip(codes).map(|(number, code)| {
            let mut place = hash(*number, *code) & last;
            loop {
                let entry = &mut entries[place];
                if entry.number == *number && entry.code == *code {
                    return entry.group as usize;
                }
                if entry.code == NO_CODE {
                    *entry = Entry { number: *number, code: *code, group: *groups as u32 };
                    *groups += 1;
                    return *groups - 1;
                }
                place = (place + 1) & last;
            }
        }));
    }

    /// Makes room for as many new groups.
    fn make_room(&mut self, rows: usize) {
        let needed = ((self.groups + rows) * 4 / 3 + 1).next_power_of_two();
        if needed <= self.entries.len() {
            return;
        }
        let entries = std::mem::replace(&mut self.entries, vec![EMPTY; needed]);
        for entry in entries.into_iter().filter(|entry| entry.code != NO_CODE) {
            let mut place = hash(entry.number, entry.code) & (needed - 1);
            while self.entries[place].code != NO_CODE {
                place = (place + 1) & (needed - 1);
            }
            self.entries[place] = entry;
        }
    }

    /// The number and the code of each group.
    pub(super) fn into_groups(self) -> (Vec<i64>, Vec<u32>) {
        let (mut numbers, mut codes) = (vec![0; self.groups], vec![0; self.groups]);
        for entry in self.entries.into_iter().filter(|entry| entry.code != NO_CODE) {
            numbers[entry.group as usize] = entry.number;
            codes[entry.group as usize] = entry.code;
        }
        (numbers, codes)
    }

    /// Bytes on the heap.
    pub(super) fn size(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>()
    }
}

/// Both halves of a product (folded multiplication): numbers that follow one another, or differ in their higher bits alone, are spread.
fn hash(number: i64, code: u32) -> usize {
    const ODD: u64 = 0x9E37_79B9_7F4A_7C15;
    const OTHER_ODD: u64 = 0xD6E8_FEB8_6659_FD93;
    let seeded = number.cast_unsigned() ^ u64::from(code).wrapping_mul(OTHER_ODD) ^ OTHER_ODD;
    let product = u128::from(seeded) * u128::from(ODD);
    (product as u64 ^ (product >> u64::BITS) as u64) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn key() -> impl Strategy<Value = (i64, u32)> {
        let number = prop_oneof![0..40_i64, (0..40_i64).prop_map(|number| number << 40), any::<i64>()];
        (number, 0..3_u32)
    }

    proptest! {
        #[test]
        fn groups_are_numbered_as_they_come(batches in prop::collection::vec(prop::collection::vec(key(), 0..200), 0..6)) {
            let (mut table, mut group_of) = (Table::default(), Vec::new());
            let (mut known, mut in_order) = (HashMap::new(), Vec::new());
            for batch in batches {
                let (numbers, codes): (Vec<_>, Vec<_>) = batch.iter().copied().unzip();
                table.find(&numbers, &codes, &mut group_of);
                let expected = batch.iter().map(|key| *known.entry(*key).or_insert_with(|| {
                    in_order.push(*key);
                    in_order.len() - 1
                }));
                prop_assert_eq!(&group_of, &expected.collect::<Vec<_>>());
                prop_assert_eq!(table.groups(), in_order.len());
            }
            let (numbers, codes) = table.into_groups();
            prop_assert_eq!(numbers.into_iter().zip(codes).collect::<Vec<_>>(), in_order);
        }
    }

    #[test]
    fn numbers_of_any_stride_are_spread() {
        const NUMBERS: i64 = 1 << 14;
        for stride in [1, 2, 10, 1_000, 1 << 14, 1 << 20, 1 << 40, 86_400_000_000] {
            let mut taken = vec![0_u8; 2 * NUMBERS as usize];
            let last = taken.len() - 1;
            for number in 0..NUMBERS {
                taken[hash(number * stride, 0) & last] += 1;
            }
            let most = taken.into_iter().max().unwrap();
            assert!(most <= 16, "{most} of stride {stride} share a place");
        }
    }
}
