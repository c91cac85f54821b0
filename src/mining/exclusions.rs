//! Pairs of items that stand in no itemset together, such as an item and its category.

/// For each item those that exclude it, in one flat vector.
///
/// Memory: 8 bytes for each pair and 4 for each item up to the last that is excluded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exclusions {
    /// Where each item's others begin in `others`; one more at the end.
    starts: Vec<u32>,
    others: Vec<u32>,
}

impl Exclusions {
    /// From the two items of each pair, one pair after the other; the order does not matter.
    #[must_use]
    pub fn new(pairs: &[[u32; 2]]) -> Self {
        let mut both: Vec<[u32; 2]> = pairs.iter().flat_map(|&[a, b]| [[a, b], [b, a]]).collect();
        both.sort_unstable();
        both.dedup();
        let items = both.last().map_or(0, |[item, _]| *item as usize + 1);
        let mut starts = vec![0_u32; items + 1];
        for [item, _] in &both {
            starts[*item as usize + 1] += 1;
        }
        for item in 0..items {
            starts[item + 1] += starts[item];
        }
        Self { starts, others: both.into_iter().map(|[_, other]| other).collect() }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.others.is_empty()
    }

    /// Whether two items stand in no itemset together.
    #[must_use]
    pub fn exclude(&self, a: u32, b: u32) -> bool {
        let Some(&[start, end]) = self.starts.get(a as usize..).and_then(|starts| starts.first_chunk())
        else {
            return false;
        };
        self.others[start as usize..end as usize].binary_search(&b).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_exclude_both_ways_and_nothing_else() {
        let exclusions = Exclusions::new(&[[3, 1], [1, 7], [1, 3]]);
        let found: Vec<[u32; 2]> = (0..10)
            .flat_map(|a| (0..10).map(move |b| [a, b]))
            .filter(|[a, b]| exclusions.exclude(*a, *b))
            .collect();
        assert_eq!(found, [[1, 3], [1, 7], [3, 1], [7, 1]]);
        assert!(Exclusions::new(&[]).is_empty());
    }
}
