//! Which itemsets no other one contains.

use hashbrown::HashMap;

/// The places of the itemsets that are contained in no other; each is ascending, and no two are equal.
///
/// The longest come first. Each is compared with the kept ones that hold the item of its own that fewest of them hold.
#[must_use]
pub fn maximal(itemsets: &[&[u32]]) -> Vec<usize> {
    let mut longest_first: Vec<usize> = (0..itemsets.len()).collect();
    longest_first.sort_by_key(|place| std::cmp::Reverse(itemsets[*place].len()));
    let mut holders: HashMap<u32, Vec<usize>> = HashMap::new();
    let mut kept = Vec::new();
    for place in longest_first {
        let items = itemsets[place];
        let fewest = items
            .iter()
            .map(|item| holders.get(item).map_or(&[][..], Vec::as_slice))
            .min_by_key(|holders| holders.len());
        // the empty itemset, which has no item to look for, is in every other
        let candidates = fewest.unwrap_or(&kept);
        if candidates.iter().any(|holder| contains(itemsets[*holder], items)) {
            continue;
        }
        for item in items {
            holders.entry(*item).or_default().push(place);
        }
        kept.push(place);
    }
    kept
}

/// Whether an ascending list has all items of another.
fn contains(larger: &[u32], smaller: &[u32]) -> bool {
    let mut rest = larger.iter();
    larger.len() > smaller.len()
        && smaller.iter().all(|item| rest.by_ref().find(|other| *other >= item) == Some(item))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keeps_those_that_are_subsets_of_no_other(
            sets in prop::collection::btree_set(prop::collection::btree_set(0u32..8, 0..6), 0..40),
        ) {
            let lists: Vec<Vec<u32>> = sets.iter().map(|set| set.iter().copied().collect()).collect();
            let slices: Vec<&[u32]> = lists.iter().map(Vec::as_slice).collect();
            let found: BTreeSet<Vec<u32>> = maximal(&slices).into_iter().map(|place| lists[place].clone()).collect();
            let expected: BTreeSet<Vec<u32>> = sets
                .iter()
                .filter(|set| !sets.iter().any(|other| other != *set && set.is_subset(other)))
                .map(|set| set.iter().copied().collect())
                .collect();
            prop_assert_eq!(found, expected);
        }
    }
}
