//! Whether values repeat, by a sample of them: where they do, removing duplicates frees memory.

use std::hash::{BuildHasher, Hash};

use hashbrown::{DefaultHashBuilder, HashSet};

/// Of how many distinct values one is looked at, and how few are no sample.
const SAMPLED: usize = 64;
const LEAST_SAMPLE: usize = 256;

/// Whether an eighth of the values or more repeat others, by a sample of the distinct ones, which is small for so many values where one of
/// them has most copies, though that one be missing from it. Where it is too small to tell, they are taken to repeat.
pub fn repeat<T: Hash + Eq>(values: impl Iterator<Item = T>) -> bool {
    let hash = DefaultHashBuilder::default();
    let (mut count, mut sample) = (0_usize, HashSet::new());
    for value in values {
        count += 1;
        if hash.hash_one(&value) % SAMPLED as u64 == 0 {
            sample.insert(value);
        }
    }
    sample.len() < LEAST_SAMPLE || sample.len() * SAMPLED <= count / 8 * 7
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_repeat_where_an_eighth_or_more_are_copies() {
        // of so many the sample is 15,625, give or take 1 in 100
        assert!(!repeat(0..1_000_000));
        assert!(!repeat((0..1_000_000).chain(0..50_000)));
        assert!(repeat((0..1_000_000).chain(0..300_000)));
        assert!(repeat((0..1_000_000).map(|value| value % 500)));
        assert!(repeat((0..1_000_000).map(|value| if value % 10 == 0 { value } else { 999 })), "one of them");
        assert!(repeat(0..1_000), "few");
    }
}
