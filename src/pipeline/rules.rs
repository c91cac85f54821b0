//! From itemsets to rules: split, extend the consequents as far as wished, measure.

use super::Counts;
use crate::config::Rules;
use crate::error::{Error, ErrorKind, Result};
use crate::steps::Steps;

/// Split the itemsets into rules, extend their consequents as far as wished, and measure them.
pub(super) async fn score_rules(steps: &mut Steps<'_>, rules: &Rules, counts: &mut Counts) -> Result<()> {
    steps.parameters.set("min_confidence", rules.min_confidence);
    steps.parameters.set("min_lift", rules.min_lift);
    counts.insert(("rules", "rules_tested".to_owned()), rules_tested(counts, rules.max_consequent_length));

    steps.view("rule_split").await?;
    if rules.max_consequent_length == 1 {
        steps.view("confident_rule").await?;
    } else {
        let mut level = steps.rows("confident_rule").await?;
        let mut all = level.clone();
        for _ in 1..rules.max_consequent_length {
            if level.count() == 0 {
                break;
            }
            steps.register_rows("confident_level", &level)?;
            let extended = steps.rows("rule_extension").await?;
            steps.register_rows("rule_split", &extended)?;
            level = steps.rows("confident_rule").await?;
            all.batches.extend(level.batches.iter().cloned());
        }
        steps.register_rows("confident_rule", &all)?;
    }
    let kept = steps.table("association_rules").await?;
    if kept > rules.max_rules {
        return Err(Error::new(
            ErrorKind::Limit,
            format!(
                "there are {kept} rules, more than rules.max_rules = {}; raise it, or rules.min_confidence or \
                 rules.min_lift",
                rules.max_rules
            ),
        ));
    }
    counts.insert(("rules", "rules_kept".to_owned()), kept as i64);
    steps.table("rule_items").await?;
    Ok(())
}

/// All splits of the itemsets into antecedent and consequent that the configuration allows, before confidence or lift.
fn rules_tested(counts: &Counts, max_consequent_length: usize) -> i64 {
    let binomial = |n: u128, k: u128| (0..k).fold(1_u128, |product, i| product * (n - i) / (i + 1));
    let splits = |length: u128| {
        (1..=max_consequent_length as u128)
            .take_while(|k| *k < length)
            .map(|k| binomial(length, k))
            .sum::<u128>()
    };
    let tested: u128 = counts
        .iter()
        .filter_map(|((_, measure), itemsets)| {
            let length: u128 = measure.strip_prefix("itemsets_of_length_")?.parse().ok()?;
            Some(splits(length) * u128::try_from(*itemsets).ok()?)
        })
        .sum();
    i64::try_from(tested).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tested_rules_are_all_allowed_splits() {
        let counts = Counts::from([
            (("rules", "itemsets_of_length_2".to_owned()), 10),
            (("rules", "itemsets_of_length_3".to_owned()), 4),
        ]);
        assert_eq!(rules_tested(&counts, 1), 10 * 2 + 4 * 3);
        assert_eq!(rules_tested(&counts, 2), 10 * 2 + 4 * 6);
    }
}
