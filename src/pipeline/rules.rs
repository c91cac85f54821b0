//! From itemsets to rules: split, extend the consequents as far as wished, measure, keep those that are wanted.

use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::datatypes::Int64Type;
use datafusion::logical_expr::{SortExpr, col, ident, not};
use datafusion::prelude::DataFrame;

use super::{Counts, add, allowed_items};
use crate::config::{Items, Rules};
use crate::error::{Error, ErrorKind, Result};
use crate::rows::Rows;
use crate::source;
use crate::steps::Steps;

/// Splits the itemsets into rules, measures them, and publishes those that are wanted.
pub(super) async fn score_rules(steps: &mut Steps<'_>, rules: &Rules, counts: &mut Counts) -> Result<()> {
    steps.parameters.set("min_confidence", rules.min_confidence);
    steps.parameters.set("min_lift", rules.min_lift);
    steps.keep("itemset_index").await?;
    register_sides(steps, rules).await?;
    let tested = rules_tested(&steps.rows("rule_space").await?, rules.max_consequent_length);
    add(counts, "rules_tested", tested);

    confident_rules(steps, rules).await?;
    steps.view("measured_rule").await?;
    let measured = adjust(steps, rules, tested).await?;
    let kept = wanted(measured, rules)?;
    steps.register("kept_rule", kept.into_view())?;
    let before = counts.get(&("rules", "rules_kept".to_owned())).copied().unwrap_or_default();
    if before.saturating_add(tested).unsigned_abs() > rules.max_rules {
        let found = steps.rows("rule_count").await?.single_count() + before;
        if found.unsigned_abs() > rules.max_rules {
            let message = format!(
                "there are {found} rules of {tested} tested, more than rules.max_rules = {}; raise it, or \
                 rules.min_confidence or rules.min_lift",
                rules.max_rules
            );
            return Err(Error::new(ErrorKind::Limit, message));
        }
    }
    let kept = steps.append("association_rules").await?;
    add(counts, "rules_kept", kept as i64);
    Ok(())
}

/// Which items may stand on which side of a rule.
async fn register_sides(steps: &Steps<'_>, rules: &Rules) -> Result<()> {
    let items = steps.context.table("item").await?;
    let side = |allowed: &Items, key: &str| allowed_items(&items, allowed, key);
    let sides = items.clone().select(vec![
        col("item_number"),
        side(&rules.antecedents, "rules.antecedents")?.alias("may_be_antecedent"),
        side(&rules.consequents, "rules.consequents")?.alias("may_be_consequent"),
    ])?;
    steps.register("item_side", sides.into_view())
}

/// The confident rules by the length of their consequents: extended level by level, since a rule that is not confident has no
/// confident extension.
async fn confident_rules(steps: &mut Steps<'_>, rules: &Rules) -> Result<()> {
    steps.view("rule_split").await?;
    if rules.max_consequent_length == 1 {
        return steps.view("confident_rule").await;
    }
    let mut level = steps.rows("confident_rule").await?;
    let mut all = level.clone();
    for _ in 1..rules.max_consequent_length {
        if level.count() == 0 {
            break;
        }
        steps.register_rows("confident_level", &level).await?;
        let extended = steps.rows("rule_extension").await?;
        steps.register_rows("rule_split", &extended).await?;
        level = steps.rows("confident_rule").await?;
        all.batches.extend(level.batches.iter().cloned());
    }
    steps.register_rows("confident_rule", &all).await
}

/// The measured rules, with adjusted p-values where they are asked for.
async fn adjust(steps: &mut Steps<'_>, rules: &Rules, tested: i64) -> Result<DataFrame> {
    let Some(adjust) = &rules.adjust else {
        return Ok(steps.context.table("measured_rule").await?);
    };
    let measured = steps.rows("tested_count").await?.single_count();
    steps.parameters.set("adjust", adjust.as_str());
    steps.parameters.set("rules_tested", tested);
    steps.parameters.set("rules_measured", measured);
    steps.view("adjusted_rule").await?;
    Ok(steps.context.table("adjusted_rule").await?)
}

/// The rules that pass the configured predicate, are not redundant if that is asked, and are among the first by a measure.
fn wanted(measured: DataFrame, rules: &Rules) -> Result<DataFrame> {
    let mut kept = measured;
    if let Some(predicate) = &rules.predicate {
        let predicate = source::predicate(&kept, predicate, "rules.where")?;
        kept = kept.filter(predicate)?;
    }
    if rules.drop_redundant {
        kept = kept.filter(not(col("is_redundant")))?;
    }
    if rules.top > 0 {
        // a small p-value is the strong one
        let ascending = ["_p", "_q"].iter().any(|ending| rules.top_by.ends_with(ending));
        let by = |name: &str, ascending: bool| SortExpr::new(ident(name), ascending, false);
        let order = vec![
            by(&rules.top_by, ascending),
            by("support_count", false),
            by("antecedent_items", true),
            by("consequent_items", true),
        ];
        kept = kept.sort(order)?.limit(0, Some(rules.top))?;
    }
    Ok(kept)
}

/// All splits of the itemsets into antecedent and consequent that the configuration allows, before confidence or lift.
fn rules_tested(kinds: &Rows, max_consequent_length: usize) -> i64 {
    let column =
        |batch: &RecordBatch, column: usize| batch.column(column).as_primitive::<Int64Type>().clone();
    let splits = kinds.batches.iter().flat_map(|batch| {
        let [length, must_lead, must_follow, itemsets] = [0, 1, 2, 3].map(|place| column(batch, place));
        (0..batch.num_rows()).map(move |row| {
            let splits = splits(
                length.value(row) as u128,
                must_lead.value(row) as u128,
                must_follow.value(row) as u128,
                max_consequent_length as u128,
            );
            splits.saturating_mul(itemsets.value(row) as u128)
        })
    });
    i64::try_from(splits.fold(0, u128::saturating_add)).unwrap_or(i64::MAX)
}

/// The ways to split an itemset in two parts that are not empty: some of its items must be in the antecedent, some in the
/// consequent, which has at most so many.
fn splits(length: u128, must_lead: u128, must_follow: u128, max_consequent_length: u128) -> u128 {
    let binomial =
        |n: u128, k: u128| (0..k).fold(1_u128, |product, i| product.saturating_mul(n - i) / (i + 1));
    let free = length - must_lead - must_follow;
    (must_follow.max(1)..length)
        .take_while(|consequent| *consequent <= max_consequent_length && consequent - must_follow <= free)
        .map(|consequent| binomial(free, consequent - must_follow))
        .fold(0, u128::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_are_counted_as_one_by_one() {
        for length in 2..7_u32 {
            for must_lead in 0..=length {
                for must_follow in 0..=length - must_lead {
                    for longest in 1..7 {
                        // the first items must lead, the last must follow; a bit says that an item is in the consequent
                        let allowed = |split: &u32| {
                            let leading = (1 << must_lead) - 1;
                            let following = ((1 << must_follow) - 1) << (length - must_follow);
                            split & leading == 0
                                && split & following == following
                                && (1..length).contains(&split.count_ones())
                                && split.count_ones() <= longest
                        };
                        let expected = (0..1_u32 << length).filter(allowed).count() as u128;
                        let found =
                            splits(length.into(), must_lead.into(), must_follow.into(), longest.into());
                        assert_eq!(found, expected, "{length} {must_lead} {must_follow} {longest}");
                    }
                }
            }
        }
    }
}
