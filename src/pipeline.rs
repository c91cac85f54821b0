//! The order of the stages, and the loop over the levels of Apriori.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{Days, NaiveDate};
use datafusion::arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Int64Type, Schema, UInt32Type};
use datafusion::prelude::DataFrame;
use datafusion::scalar::ScalarValue;

use crate::config::{Config, MinSupport, Rfm, Rules};
use crate::error::{Error, ErrorKind, Result};
use crate::steps::{Rows, Steps};
use crate::udaf::Candidates;

/// What the stages counted: the rows of `run_summary` by stage and measure.
type Counts = BTreeMap<(&'static str, String), i64>;

/// Runs every stage up to the tables; the audits come after.
///
/// # Errors
/// When no line is left, a value cannot be used, a limit is passed, or the engine fails.
pub async fn run(steps: &mut Steps<'_>, order_line: DataFrame, config: &Config) -> Result<()> {
    let run_date = config.required_run_date()?;
    let mut counts = Counts::new();
    clean(steps, order_line, config, run_date, &mut counts).await?;
    if config.select.rfm {
        score_customers(steps, &config.rfm, run_date, &mut counts).await?;
    }
    if config.select.itemsets {
        let itemsets = mine(steps, &config.rules, &mut counts).await?;
        steps.register_rows("itemset_support", &itemsets)?;
        steps.table("frequent_itemsets").await?;
    }
    if config.select.rules {
        score_rules(steps, &config.rules, &mut counts).await?;
    }
    steps.register_rows("stage_count", &count_rows(&counts)?)?;
    steps.table("run_summary").await?;
    Ok(())
}

/// Source and clean: `line` is what all later stages read.
async fn clean(
    steps: &mut Steps<'_>,
    order_line: DataFrame,
    config: &Config,
    run_date: NaiveDate,
    counts: &mut Counts,
) -> Result<()> {
    steps.register("order_line", order_line.into_view())?;
    steps.parameters.set("run_end", ScalarValue::TimestampMicrosecond(Some(end_of(run_date)?), None));
    steps.parameters.set("returns", config.clean.returns.as_str());
    steps.parameters.set("unpriced", config.clean.unpriced.as_str());
    steps.view("checked_line").await?;
    steps.view("line").await?;
    let lines = steps.rows("line_count").await?;
    for batch in &lines.batches {
        let measures = datafusion::arrow::compute::cast(batch.column(0), &DataType::Utf8)?;
        let values = batch.column(1).as_primitive::<Int64Type>();
        for (measure, value) in measures.as_string::<i32>().iter().flatten().zip(values.values()) {
            counts.insert(("clean", measure.to_owned()), *value);
        }
    }
    if steps.explains_only() {
        return Ok(());
    }
    let invalid: i64 = counts
        .iter()
        .filter(|((_, measure), _)| measure.starts_with("lines_invalid_"))
        .map(|(_, lines)| lines)
        .sum();
    if invalid > 0 && !config.clean.drop_invalid {
        return Err(invalid_lines(steps, invalid).await?);
    }
    if counts.get(&("clean", "lines_kept".to_owned())).is_none_or(|kept| *kept == 0) {
        let read = counts.get(&("clean", "lines_read".to_owned())).copied().unwrap_or_default();
        return Err(Error::new(
            ErrorKind::Empty,
            format!(
                "no line is left up to {run_date}, of {read} read; see input.filter, clean.* and the run date"
            ),
        ));
    }
    Ok(())
}

/// The first moment after a day, in microseconds since 1970.
fn end_of(day: NaiveDate) -> Result<i64> {
    let next = day.checked_add_days(Days::new(1)).and_then(|next| next.and_hms_opt(0, 0, 0));
    Ok(next.ok_or_else(|| Error::config("the run date is out of range"))?.and_utc().timestamp_micros())
}

async fn invalid_lines(steps: &mut Steps<'_>, lines: i64) -> Result<Error> {
    let found = steps.rows("invalid_line").await?;
    let mut columns = Vec::new();
    for batch in &found.batches {
        let text = |column: usize| datafusion::arrow::compute::cast(batch.column(column), &DataType::Utf8);
        let (names, examples) = (text(0)?, text(2)?);
        let counts = batch.column(1).as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let (name, example) = (names.as_string::<i32>().value(row), examples.as_string::<i32>());
            let example =
                example.iter().nth(row).flatten().map_or("missing".to_owned(), |value| format!("'{value}'"));
            columns.push(format!("{name}: {} lines, such as {example}", counts.value(row)));
        }
    }
    Ok(Error::new(
        ErrorKind::Value,
        format!(
            "{lines} lines have values that cannot be used ({}); mend them, map the column with an expression, or leave \
             such lines out with clean.invalid = \"drop\"",
            columns.join("; ")
        ),
    ))
}

/// Aggregate customers and score them.
async fn score_customers(
    steps: &mut Steps<'_>,
    rfm: &Rfm,
    run_date: NaiveDate,
    counts: &mut Counts,
) -> Result<()> {
    let as_of = rfm.as_of.unwrap_or(run_date);
    steps.parameters.set("as_of", ScalarValue::Date32(Some(days_since_1970(as_of)?)));
    steps.parameters.set("frequency", rfm.frequency.as_str());
    steps.parameters.set("bins", rfm.bins);
    steps.parameters.set("recency_binning", rfm.recency_binning.as_str());
    steps.parameters.set("frequency_binning", rfm.frequency_binning.as_str());
    steps.parameters.set("monetary_binning", rfm.monetary_binning.as_str());
    steps.parameters.set("recency_weight", rfm.recency_weight);
    steps.parameters.set("frequency_weight", rfm.frequency_weight);
    steps.parameters.set("monetary_weight", rfm.monetary_weight);
    steps.parameters.set("group_count", rfm.groups.len() as i64);
    steps.register_rows("loyalty_group", &loyalty_groups(&rfm.groups)?)?;
    steps.view("segment_grid").await?;

    let customers = steps.rows("customer").await?;
    let orders: i64 = customers
        .batches
        .iter()
        .filter_map(|batch| batch.column_by_name("orders"))
        .map(|orders| orders.as_primitive::<Int64Type>().values().iter().sum::<i64>())
        .sum();
    counts.insert(("rfm", "customers".to_owned()), customers.count() as i64);
    counts.insert(("rfm", "orders".to_owned()), orders);
    steps.rows("scored_customer").await?;
    for table in ["customer_rfm", "rfm_segments", "rfm_thresholds"] {
        steps.table(table).await?;
    }
    Ok(())
}

fn days_since_1970(date: NaiveDate) -> Result<i32> {
    let days = date.signed_duration_since(NaiveDate::default()).num_days();
    i32::try_from(days).map_err(|_| Error::config("the as-of date is out of range"))
}

fn loyalty_groups(labels: &[String]) -> Result<Rows> {
    let numbers: Vec<i64> = (1_i64..).take(labels.len()).collect();
    rows_of(vec![
        ("group_number", Arc::new(Int64Array::from(numbers))),
        ("loyalty_group", Arc::new(StringArray::from(labels.to_vec()))),
    ])
}

/// Aggregate baskets and find the frequent itemsets, level by level (Agrawal and Srikant 1994).
async fn mine(steps: &mut Steps<'_>, rules: &Rules, counts: &mut Counts) -> Result<Rows> {
    let basket_count = steps.rows("basket_count").await?.single_count();
    let min_support_count = min_support_count(rules.min_support, basket_count);
    steps.parameters.set("basket_count", basket_count);
    steps.parameters.set("min_support_count", min_support_count);
    counts.insert(("rules", "baskets".to_owned()), basket_count);

    let items = steps.rows("item").await?;
    if items.count() > u32::MAX as usize {
        return Err(Error::new(
            ErrorKind::Limit,
            "there are more items than item codes; raise rules.min_support",
        ));
    }
    steps.rows("basket").await?;
    let mut level = steps.rows("frequent_item").await?;
    counts.insert(("rules", "frequent_items".to_owned()), level.count() as i64);
    let mut all = level.clone();
    for length in 2.. {
        let found = all.count() as u64;
        if found > rules.max_itemsets {
            return Err(Error::new(
                ErrorKind::Limit,
                format!(
                    "{found} itemsets of up to {} items are frequent, more than rules.max_itemsets = {}; raise it, or \
                     rules.min_support, or lower rules.max_length",
                    length - 1,
                    rules.max_itemsets
                ),
            ));
        }
        // an itemset's parts are all frequent, so that many must be in the level before
        if (rules.max_length > 0 && length > rules.max_length)
            || (level.count() < length && !steps.explains_only())
        {
            break;
        }
        steps.register_rows("frequent_level", &level)?;
        level = if length == 2 {
            steps.rows("frequent_pair").await?
        } else {
            count_candidates(steps, length).await?
        };
        if level.count() > 0 {
            counts.insert(("rules", format!("itemsets_of_length_{length}")), level.count() as i64);
        }
        all.batches.extend(level.batches.iter().cloned());
        if steps.explains_only() && length == 3 {
            break;
        }
    }
    counts.insert(("rules", "itemsets".to_owned()), all.count() as i64);
    Ok(all)
}

/// The next level: candidates from the one before, their counts, and those that are frequent.
async fn count_candidates(steps: &mut Steps<'_>, length: usize) -> Result<Rows> {
    steps.parameters.set("length", length as i64);
    let candidates = steps.rows("candidate").await?;
    if candidates.count() == 0 && !steps.explains_only() {
        return Ok(candidates);
    }
    let mut codes = Vec::with_capacity(candidates.count() * length);
    for batch in &candidates.batches {
        let items =
            batch.column_by_name("items").ok_or_else(|| Error::internal("candidates have no items"))?;
        codes.extend_from_slice(flat_items(items));
    }
    steps.parameters.set("candidates", Candidates::try_new(length, codes)?.to_literal());
    steps.rows("candidate_count").await?;
    steps.rows("frequent_candidate").await
}

/// The items of all lists of a column, one after the other.
fn flat_items(lists: &ArrayRef) -> &[u32] {
    let lists = lists.as_list::<i32>();
    let (first, last) = (lists.value_offsets()[0], lists.value_offsets()[lists.value_offsets().len() - 1]);
    &lists.values().as_primitive::<UInt32Type>().values()[first as usize..last as usize]
}

/// The smallest count whose share of the baskets is at least the minimum, compared as doubles: `ceil(share * n)` is now
/// and then one off.
fn min_support_count(min_support: MinSupport, basket_count: i64) -> i64 {
    let share = match min_support {
        MinSupport::Count(count) => return count,
        MinSupport::Share(share) => share,
    };
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

/// Split the itemsets into rules, extend their consequents as far as wished, and measure them.
async fn score_rules(steps: &mut Steps<'_>, rules: &Rules, counts: &mut Counts) -> Result<()> {
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

fn count_rows(counts: &Counts) -> Result<Rows> {
    rows_of(vec![
        ("stage", Arc::new(counts.keys().map(|(stage, _)| Some(*stage)).collect::<StringArray>())),
        (
            "measure",
            Arc::new(counts.keys().map(|(_, measure)| Some(measure.as_str())).collect::<StringArray>()),
        ),
        ("value", Arc::new(counts.values().copied().collect::<Int64Array>())),
    ])
}

fn rows_of(columns: Vec<(&str, ArrayRef)>) -> Result<Rows> {
    let fields: Vec<Field> =
        columns.iter().map(|(name, values)| Field::new(*name, values.data_type().clone(), true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let columns = columns.into_iter().map(|(_, values)| values).collect();
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns)?;
    Ok(Rows { schema, batches: vec![batch] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minimum_support_is_met_by_division() {
        // 0.28 * 25 is 7.000000000000001 in doubles
        assert_eq!(min_support_count(MinSupport::Share(0.28), 25), 7);
        assert_eq!(min_support_count(MinSupport::Share(882.0 / 88162.0), 88162), 882);
        assert_eq!(min_support_count(MinSupport::Share(441.0 / 88162.0), 88162), 441);
        assert_eq!(min_support_count(MinSupport::Share(1e-9), 100), 1);
        assert_eq!(min_support_count(MinSupport::Share(1.0), 100), 100);
        assert_eq!(min_support_count(MinSupport::Share(0.5), 0), 1);
        assert_eq!(min_support_count(MinSupport::Count(3), 100), 3);
    }

    #[test]
    fn every_share_of_counts_gives_its_count_back() {
        for baskets in 1..300_i64 {
            for count in 1..=baskets {
                let share = count as f64 / baskets as f64;
                assert_eq!(
                    min_support_count(MinSupport::Share(share), baskets),
                    count,
                    "{count} of {baskets}"
                );
            }
        }
    }

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
