//! From a minimum support to a number of baskets.

use serde::Serialize;

/// The least number of baskets of a frequent itemset, or the least share of them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub enum MinSupport {
    Share(f64),
    Count(i64),
}

impl MinSupport {
    /// The number of baskets, of so many.
    #[must_use]
    pub fn count_of(self, basket_count: i64) -> i64 {
        match self {
            Self::Count(count) => count,
            Self::Share(share) => min_support_count(share, basket_count),
        }
    }
}

/// The smallest count whose share of the baskets is at least the minimum, compared as doubles: `ceil(share * n)` is now
/// and then one off.
fn min_support_count(share: f64, basket_count: i64) -> i64 {
    let reaches = |count: i64| count as f64 / basket_count as f64 >= share;
    let mut count = ((share * basket_count as f64).ceil() as i64).max(1);
    while count > 1 && reaches(count - 1) {
        count -= 1;
    }
    while count < basket_count && !reaches(count) {
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minimum_support_is_met_by_division() {
        // 0.28 * 25 is 7.000000000000001 in doubles
        assert_eq!(min_support_count(0.28, 25), 7);
        assert_eq!(min_support_count(882.0 / 88162.0, 88162), 882);
        assert_eq!(min_support_count(441.0 / 88162.0, 88162), 441);
        assert_eq!(min_support_count(1e-9, 100), 1);
        assert_eq!(min_support_count(1.0, 100), 100);
        assert_eq!(min_support_count(0.5, 0), 1);
    }

    #[test]
    fn every_share_of_counts_gives_its_count_back() {
        for baskets in 1..300_i64 {
            for count in 1..=baskets {
                let share = count as f64 / baskets as f64;
                assert_eq!(min_support_count(share, baskets), count, "{count} of {baskets}");
            }
        }
    }
}
