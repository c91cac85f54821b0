//! From lines to scored customers: their values, scores and segments, now and at a day to compare with.

use std::sync::Arc;

use chrono::{Days, NaiveDate};
use datafusion::arrow::array::{ArrayRef, Decimal128Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::scalar::ScalarValue;

use super::{Counts, rows_of};
use crate::config::{Binning, CompareTo, Rfm};
use crate::error::{Error, ErrorKind, Result};
use crate::rows::Rows;
use crate::segments::{Cell, SegmentMap};
use crate::source::end_of;
use crate::steps::Steps;

const MICROSECONDS_A_DAY: i64 = 24 * 60 * 60 * 1_000_000;

/// Aggregates customers, unless that is done, scores them and publishes what is wanted of them.
pub(super) async fn score_customers(
    steps: &mut Steps<'_>,
    rfm: &Rfm,
    segments: &SegmentMap,
    run_date: NaiveDate,
    is_tallied: bool,
    counts: &mut Counts,
) -> Result<()> {
    set_scoring(steps, rfm)?;
    steps.register_rows("score_label", &score_labels(&segments.cells(rfm)?, &rfm.groups)?).await?;
    if let Some(compare_to) = rfm.compare_to {
        let day = compared_day(compare_to, run_date)?;
        tally_as_of(steps, rfm, run_date, day).await?;
        value_as_of(steps, rfm, run_date, day).await?;
        score_valued(steps).await?;
        steps.keep("customer_before").await?;
    }
    if !is_tallied {
        tally_as_of(steps, rfm, run_date, run_date).await?;
    }
    value_as_of(steps, rfm, run_date, run_date).await?;
    // it needs no scores
    let reach =
        steps.table_beside("rfm_concentration", async |steps| publish_scores(steps, rfm).await).await?;
    for measure in ["customers", "orders"] {
        counts.insert(("rfm", measure.to_owned()), reach.single_value(measure)?);
    }
    if rfm.compare_to.is_some() {
        steps.table("segment_migration").await?;
    }
    if rfm.window_days.is_some() {
        let outside = steps.rows("outside_window").await?.single_count();
        counts.insert(("rfm", "lines_outside_window".to_owned()), outside);
    }
    publish_courses(steps, rfm).await
}

/// Publishes what is wanted of the customers' course over time.
async fn publish_courses(steps: &mut Steps<'_>, rfm: &Rfm) -> Result<()> {
    if let Some(summary) = &rfm.summary {
        steps.parameters.set("summary", summary.as_str());
        steps.table("customer_summary").await?;
    }
    if rfm.cohorts {
        steps.table("cohort_retention").await?;
    }
    if let Some(metrics) = &rfm.metrics {
        steps.parameters.set("metrics", metrics.as_str());
        steps.table("loyalty_metrics").await?;
    }
    if let Some(lifecycle) = &rfm.lifecycle {
        let parameters = &mut steps.parameters;
        parameters.set("lifecycle", lifecycle.by.as_str());
        parameters.set("new_days", i64::from(lifecycle.new_days));
        parameters.set("lapsing_days", i64::from(lifecycle.lapsing_days));
        parameters.set("lapsed_days", i64::from(lifecycle.lapsed_days));
        parameters.set("lapsing_gaps", lifecycle.lapsing_gaps);
        parameters.set("lapsed_gaps", lifecycle.lapsed_gaps);
        steps.table("customer_lifecycle").await?;
    }
    Ok(())
}

/// How customers are scored, whatever the day.
fn set_scoring(steps: &mut Steps<'_>, rfm: &Rfm) -> Result<()> {
    let parameters = &mut steps.parameters;
    parameters.set("negative", rfm.negative.as_str());
    parameters.set("frequency", rfm.frequency.as_str());
    parameters.set("monetary", rfm.monetary.as_str());
    for (name, dimension) in ["recency", "frequency", "monetary"].into_iter().zip(rfm.dimensions()) {
        let is_nested = rfm.nested && name != "recency";
        let ends = match dimension.binning {
            Binning::Fixed => "cuts",
            Binning::Quantile if !is_nested => "edges",
            _ => "values",
        };
        parameters.set(&format!("{name}_bins"), dimension.bins);
        parameters.set(&format!("{name}_binning"), dimension.binning.name());
        parameters.set(&format!("{name}_cuts"), cut_points(&dimension.cuts)?);
        parameters.set(&format!("{name}_ends"), ends);
        parameters.set(&format!("{name}_scaling"), dimension.scaling.as_str());
        let is_binned_by_place = matches!(dimension.binning, Binning::Ntile | Binning::PercentRank);
        let is_placed = is_binned_by_place && !is_nested || dimension.scaling == "rank";
        parameters.set(&format!("{name}_placed"), is_placed);
    }
    parameters.set("nested", rfm.nested);
    parameters.set("recency_weight", rfm.recency_weight);
    parameters.set("frequency_weight", rfm.frequency_weight);
    parameters.set("monetary_weight", rfm.monetary_weight);
    parameters.set("group_count", rfm.groups.len() as i64);
    Ok(())
}

/// Aggregates the customers, as a run of that day would have, and counts the lines that are left out in the same pass.
pub(super) async fn tally_as_of(
    steps: &mut Steps<'_>,
    rfm: &Rfm,
    run_date: NaiveDate,
    day: NaiveDate,
) -> Result<()> {
    let end = end_of(day)?;
    let start = rfm.window_days.map(|days| end - i64::from(days) * MICROSECONDS_A_DAY);
    // lines after the run date are no lines at all
    let window_end = (day < run_date).then_some(end);
    steps.parameters.set("window_start", ScalarValue::TimestampMicrosecond(start, None));
    steps.parameters.set("window_end", ScalarValue::TimestampMicrosecond(window_end, None));
    steps.keep("customer_tally").await?;
    steps.view("customer").await
}

/// Registers the customers, valued, as a run of that day would have; the as-of date follows the day as it follows the run date.
async fn value_as_of(steps: &mut Steps<'_>, rfm: &Rfm, run_date: NaiveDate, day: NaiveDate) -> Result<()> {
    let after = rfm.as_of.unwrap_or(run_date).signed_duration_since(run_date).num_days();
    let as_of = day.checked_add_days(Days::new(after.unsigned_abs()));
    let as_of = as_of.ok_or_else(|| Error::config("the as-of date is out of range"))?;
    let parameters = &mut steps.parameters;
    parameters.set("as_of", ScalarValue::Date32(Some(days_since_1970(as_of)?)));
    parameters.set("run_date", ScalarValue::Date32(Some(days_since_1970(day)?)));
    steps.view("valued_customer").await
}

/// Scores the valued customers, and publishes what that tells of them. Tells how many there are and how far their values reach.
async fn publish_scores(steps: &mut Steps<'_>, rfm: &Rfm) -> Result<Rows> {
    let reach = score_valued(steps).await?;
    if rfm.negative == "error" {
        refuse_money_below_zero(steps).await?;
    }
    find_ranges_of_segments(steps).await?;
    steps.tables(&["customer_rfm", "rfm_segments"]).await?;
    steps.table("rfm_thresholds").await?;
    Ok(reach)
}

/// Registers the valued customers, scored. Tells how many there are and how far their values reach.
async fn score_valued(steps: &mut Steps<'_>) -> Result<Rows> {
    find_quantile_ranges(
        steps,
        "customer_range",
        "customer_quantile_range",
        &["recency", "frequency", "monetary"],
    )
    .await?;
    let reach = steps.rows("customer_range").await.map_err(too_large)?;
    set_reach(steps, &reach)?;
    steps.view("placed_customer").await?;
    steps.view("binned_customer").await?;
    steps.shared_view("weighted_customer").await?;
    find_quantile_ranges(steps, "loyalty_range", "loyalty_quantile_range", &["loyalty"]).await?;
    steps.rows("loyalty_range").await?;
    steps.shared_view("scored_customer").await?;
    Ok(reach)
}

/// Sets how far the values of all customers reach, for those of each to be scaled.
fn set_reach(steps: &mut Steps<'_>, reach: &Rows) -> Result<()> {
    let row = reach.batches.iter().find(|batch| batch.num_rows() > 0);
    let names = ["recency", "frequency", "monetary"].into_iter().flat_map(|value| {
        let ends = ["least", "most"].map(|end| format!("{end}_{value}"));
        ends.into_iter().chain(["mean", "deviation"].map(|measure| format!("{value}_{measure}")))
    });
    for name in names {
        let column = reach.schema.index_of(&name)?;
        let value = match row {
            Some(row) => ScalarValue::try_from_array(row.column(column), 0)?,
            None => ScalarValue::try_from(reach.schema.field(column).data_type())?,
        };
        steps.parameters.set(&name, value);
    }
    Ok(())
}

/// Where a cluster finds quantiles, tells it in which ranges they lie, in a pass before: executors then send none of the other values to the
/// one that brings them together.
async fn find_quantile_ranges(
    steps: &mut Steps<'_>,
    quantiles: &str,
    ranges: &str,
    values: &[&str],
) -> Result<()> {
    // in a form that is cheap to repeat
    let shared = |list| ScalarValue::Dictionary(Box::new(DataType::Int32), Box::new(list));
    let unknown = shared(ScalarValue::new_null_list(DataType::Int64, true, 1));
    for value in values {
        steps.parameters.set(&format!("{value}_ranges"), unknown.clone());
    }
    if !steps.runs_elsewhere(quantiles).await? || steps.explains_only() {
        return Ok(());
    }
    let found = steps.rows(ranges).await?;
    for (value, column) in values.iter().zip(found.batches.iter().flat_map(RecordBatch::columns)) {
        steps.parameters.set(&format!("{value}_ranges"), shared(ScalarValue::try_from_array(column, 0)?));
    }
    Ok(())
}

/// The same for the medians of segments.
async fn find_ranges_of_segments(steps: &mut Steps<'_>) -> Result<()> {
    steps.parameters.set("segments_ranged", true);
    if steps.runs_elsewhere("segment_quantile_range").await? && !steps.explains_only() {
        return steps.rows("segment_quantile_range").await.map(drop);
    }
    steps.parameters.set("segments_ranged", false);
    steps.view("segment_quantile_range").await
}

/// Money so large that its quantiles are out of reach.
fn too_large(error: Error) -> Error {
    if error.to_string().contains("a value is too large") {
        let message = "monetary is too large for its quantiles: customers have amounts near the most that decimal(38,4) holds";
        return Error::new(ErrorKind::Value, message).with("column", "monetary");
    }
    error
}

/// The day whose state the run date's is compared with.
fn compared_day(compare_to: CompareTo, run_date: NaiveDate) -> Result<NaiveDate> {
    let day = match compare_to {
        CompareTo::Date(date) => Some(date),
        CompareTo::DaysBefore(days) => run_date.checked_sub_days(Days::new(days.into())),
    };
    day.filter(|day| *day < run_date).ok_or_else(|| {
        Error::config("rfm.compare_to must lie before the run date").with("key", "rfm.compare_to")
    })
}

async fn refuse_money_below_zero(steps: &mut Steps<'_>) -> Result<()> {
    let below_zero = steps.rows("negative_customer").await?.single_count();
    if below_zero == 0 {
        return Ok(());
    }
    let message = format!(
        "{below_zero} customers have less money than nothing, after refunds; see clean.returns, or set rfm.negative to keep or zero"
    );
    Err(Error::new(ErrorKind::Value, message).with("key", "rfm.negative"))
}

fn days_since_1970(date: NaiveDate) -> Result<i32> {
    let days = date.signed_duration_since(NaiveDate::default()).num_days();
    i32::try_from(days).map_err(|_| Error::config("the as-of date is out of range"))
}

/// Cut points to the fourth decimal between two numbers that do not count, as `quantile_edges` gives inner values between the
/// least and the most.
fn cut_points(cuts: &[f64]) -> Result<ScalarValue> {
    let decimals = cuts.iter().map(|cut| Some((cut * 1e4).round() as i128));
    let points: Decimal128Array = [Some(0)].into_iter().chain(decimals).chain([Some(0)]).collect();
    let points = points.with_precision_and_scale(38, 4)?;
    Ok(ScalarValue::List(Arc::new(SingleRowListArrayBuilder::new(Arc::new(points)).build_list_array())))
}

/// What scores are called, as one row of lists.
fn score_labels(cells: &[Cell], loyalty_groups: &[String]) -> Result<Rows> {
    let list = |labels: StringArray| -> ArrayRef {
        Arc::new(SingleRowListArrayBuilder::new(Arc::new(labels)).build_list_array())
    };
    rows_of(vec![
        ("cells", list(cells.iter().map(|cell| Some(cell.name())).collect())),
        ("segments", list(cells.iter().map(|cell| Some(&cell.segment)).collect())),
        ("loyalty_groups", list(loyalty_groups.iter().map(Some).collect())),
    ])
}
