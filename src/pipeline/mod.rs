//! The order of the stages: clean; customers are scored in `customers`, baskets grouped in `groups`, itemsets found in
//! `mine`, their rules in `rules`.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::NaiveDate;
use datafusion::arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Int64Type, Schema};
use datafusion::logical_expr::{Expr, col, lit};
use datafusion::prelude::DataFrame;

use crate::config::{Config, Items};
use crate::error::{Error, ErrorKind, Result};
use crate::group::Group;
use crate::kept::Kept;
use crate::rows::Rows;
use crate::segments::SegmentMap;
use crate::session;
use crate::source::{self, Hierarchy, OrderLine};
use crate::sql::Parameters;
use crate::steps::Steps;
use crate::text::in_a_line;

mod customers;
mod groups;
mod mine;
mod rules;

/// What the stages counted: the rows of `run_summary` by stage and measure.
type Counts = BTreeMap<(&'static str, String), i64>;

/// A group whose itemsets and rules are written, and the values that they were found with.
#[derive(Debug, Clone)]
pub struct MinedGroup {
    pub group: Group,
    pub parameters: Parameters,
}

/// What the job reads.
#[derive(Debug)]
pub struct Inputs {
    pub order_line: OrderLine,
    pub hierarchy: Hierarchy,
    /// What the customers' scores are called; none where they are not computed.
    pub segments: Option<SegmentMap>,
}

/// Runs every stage up to the tables; audits come after, but for those that the steps begin.
///
/// # Errors
/// When no line is left, a value cannot be used, a limit is passed, or the engine fails.
pub async fn run(steps: &mut Steps<'_>, inputs: Inputs, config: &Config) -> Result<Vec<MinedGroup>> {
    let run_date = config.required_run_date()?;
    let mut counts = Counts::new();
    let output = config.required_output()?;
    steps.parameters.set("pseudonymise", output.pseudonymise_customers);
    steps.withhold_below(output.minimum_group_size);
    clean(steps, inputs.order_line, config, run_date, &mut counts).await?;
    if let Some(segments) = &inputs.segments {
        let is_tallied = customers_are_tallied(config);
        customers::score_customers(steps, &config.rfm, segments, run_date, is_tallied, &mut counts).await?;
    }
    let groups = if config.select.itemsets {
        mine_groups(steps, &inputs.hierarchy, config, &mut counts).await?
    } else {
        Vec::new()
    };
    for (table, rows) in &steps.withheld {
        counts.insert(("rfm", format!("{table}_rows_withheld")), *rows as i64);
    }
    steps.register_rows("stage_count", &count_rows(&counts)?).await?;
    steps.table("run_summary").await?;
    Ok(groups)
}

/// Mines the baskets of each group and writes its itemsets and rules, one group after the other.
async fn mine_groups(
    steps: &mut Steps<'_>,
    hierarchy: &Hierarchy,
    config: &Config,
    counts: &mut Counts,
) -> Result<Vec<MinedGroup>> {
    let baskets = groups::baskets(steps, &config.rules, hierarchy).await?;
    if !config.rules.by.is_empty() {
        add(counts, "groups", baskets.groups.len() as i64);
    }
    let mut mined = Vec::with_capacity(baskets.groups.len());
    for (number, members) in baskets.groups.iter().enumerate() {
        steps.group = members.group.clone();
        let rows = baskets.of(steps, number).await?;
        mine_group(steps, config, members.basket_count, &rows, counts)
            .await
            .map_err(|error| members.group.blame(error))?;
        mined.push(MinedGroup { group: members.group.clone(), parameters: steps.parameters.clone() });
    }
    steps.finish("frequent_itemsets").await?;
    if config.select.rules {
        steps.finish("association_rules").await?;
        for group in &mined {
            steps.enter(group.group.clone())?;
            steps.append("rule_items").await?;
        }
        steps.finish("rule_items").await?;
    }
    Ok(mined)
}

async fn mine_group(
    steps: &mut Steps<'_>,
    config: &Config,
    basket_count: i64,
    baskets: &Kept,
    counts: &mut Counts,
) -> Result<()> {
    mine::mine(steps, &config.rules, basket_count, baskets, counts).await?;
    steps.append("frequent_itemsets").await?;
    if config.select.rules {
        rules::score_rules(steps, &config.rules, counts).await?;
    }
    Ok(())
}

/// Adds what one group counted to what all have.
fn add(counts: &mut Counts, measure: &str, count: i64) {
    let sum = counts.entry(("rules", measure.to_owned())).or_default();
    *sum = sum.saturating_add(count);
}

/// Whether the pass that counts the lines aggregates the customers, too: it does where nothing else takes a pass before them.
fn customers_are_tallied(config: &Config) -> bool {
    config.select.rfm && !config.select.itemsets && config.rfm.compare_to.is_none()
}

/// Whether nothing reads the lines once customers are scored.
#[must_use]
pub fn scores_are_last(config: &Config) -> bool {
    let rfm = &config.rfm;
    let follows_courses =
        rfm.summary.is_some() || rfm.metrics.is_some() || rfm.lifecycle.is_some() || rfm.cohorts;
    !(config.select.itemsets || follows_courses || rfm.window_days.is_some())
}

/// Source and clean: `line` is what all later stages read.
async fn clean(
    steps: &mut Steps<'_>,
    order_line: OrderLine,
    config: &Config,
    run_date: NaiveDate,
    counts: &mut Counts,
) -> Result<()> {
    steps.register("order_line", order_line.relation.into_view())?;
    steps.parameters.set("run_end", order_line.run_end);
    steps.parameters.set("returns", config.clean.returns.as_str());
    steps.parameters.set("has_refunds", config.clean.returns == "net");
    steps.parameters.set("drop_duplicates", config.clean.drop_duplicates);
    steps.parameters.set("unpriced", config.clean.unpriced.as_str());
    steps.view("checked_line").await?;
    if customers_are_tallied(config) {
        steps.parameters.set("some_left_out", order_line.some_left_out);
        customers::tally_as_of(steps, &config.rfm, run_date, run_date).await?;
        let tally = steps.keep("reason_tally").await?;
        steps.register("line_tally", tally.relation)?;
    } else {
        let with_baskets = config.select.itemsets && config.rules.by.is_empty();
        steps.parameters.set("with_baskets", with_baskets);
        steps.parameters.set("with_customers", config.select.rfm);
        steps.parameters.set("order_buckets", session::buckets(steps.context));
        steps.keep("line_tally").await?;
    }
    let lines = steps.rows("line_count").await?;
    for batch in &lines.batches {
        let measures = datafusion::arrow::compute::cast(batch.column(0), &DataType::Utf8)?;
        let values = batch.column(1).as_primitive::<Int64Type>();
        for (measure, value) in measures.as_string::<i32>().iter().flatten().zip(values.values()) {
            counts.insert(("clean", measure.to_owned()), *value);
        }
    }
    // columns that a selection has no use for are not read
    for (is_read, measure) in
        [(config.select.rfm, "lines_without_customer"), (config.select.itemsets, "lines_without_item")]
    {
        if !is_read {
            counts.remove(&("clean", measure.to_owned()));
        }
    }
    let lines = |measure: &str| counts.get(&("clean", measure.to_owned())).copied().unwrap_or_default();
    let some_left_out = lines("lines_read") != lines("lines_kept") + lines("lines_duplicate");
    steps.parameters.set("some_left_out", some_left_out || steps.explains_only());
    steps.view("line").await?;
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
    let returned = counts.get(&("clean", "lines_return".to_owned())).copied().unwrap_or_default();
    if returned > 0 && config.clean.returns == "error" {
        let message = format!("{returned} lines are returns, which clean.returns = \"error\" refuses");
        return Err(Error::new(ErrorKind::Value, message)
            .with("key", "clean.returns_when")
            .with("value", &config.clean.returns_when));
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

async fn invalid_lines(steps: &mut Steps<'_>, lines: i64) -> Result<Error> {
    let found = steps.rows("invalid_line").await?;
    let mut columns = Vec::new();
    for batch in &found.batches {
        let text = |column: usize| datafusion::arrow::compute::cast(batch.column(column), &DataType::Utf8);
        let (names, examples) = (text(0)?, text(2)?);
        let counts = batch.column(1).as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let (name, example) = (names.as_string::<i32>().value(row), examples.as_string::<i32>());
            let example = example
                .iter()
                .nth(row)
                .flatten()
                .map_or("missing".to_owned(), |value| format!("'{}'", in_a_line(value)));
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

/// A condition on `item_id`: all items, those of a list, or those that a predicate is true for.
fn allowed_items(items: &DataFrame, allowed: &Items, key: &str) -> Result<Expr> {
    match allowed {
        Items::All => Ok(lit(true)),
        Items::List(ids) => Ok(col("item_id").in_list(ids.iter().map(lit).collect(), false)),
        Items::Predicate(text) => source::predicate(items, text, key),
    }
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
