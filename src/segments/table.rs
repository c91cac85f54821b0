//! Segment maps that stand in a table: a row a rule, its score ranges in columns.

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::logical_expr::{Expr, cast, ident, try_cast, when};
use datafusion::prelude::SessionContext;

use super::{Bins, Rule, Scores, SegmentMap};
use crate::config::Rfm;
use crate::error::{Error, ErrorKind, Result};
use crate::source::Source;

const DIMENSIONS: [&str; 3] = ["recency", "frequency", "monetary"];

/// Reads a table with the columns `rule` (the first that matches wins, the lowest number first) and `segment`, and any of
/// `recency_from`, `recency_to`, `frequency_from` and so on, where a score that is missing is the least or the most there is.
///
/// # Errors
/// When it cannot be read, lacks a column, or a row has no segment, no number or another's, or a score that is no whole number.
pub(super) async fn load(context: &SessionContext, rfm: &Rfm) -> Result<SegmentMap> {
    let lines = Source::open_table(context, &rfm.segments).await?.lines;
    let has = |name: &str| lines.schema().has_column_with_unqualified_name(name);
    if let Some(missing) = ["rule", "segment"].into_iter().find(|name| !has(name)) {
        return Err(Error::new(ErrorKind::Schema, format!("the segment map has no column {missing}")));
    }
    let ends: Vec<String> =
        DIMENSIONS.iter().flat_map(|name| [format!("{name}_from"), format!("{name}_to")]).collect();
    let written = ends.iter().filter(|name| has(name)).map(String::as_str);
    let numbers: Vec<&str> = std::iter::once("rule").chain(written).collect();
    let mut columns: Vec<Expr> = vec![try_cast(ident("segment"), DataType::Utf8).alias("segment")];
    for name in &numbers {
        let whole = try_cast(ident(*name), DataType::Int64);
        let is_whole = cast(whole.clone(), DataType::Float64).eq(try_cast(ident(*name), DataType::Float64));
        columns.push(when(is_whole, whole).end()?.alias(*name));
        columns.push(ident(*name).is_not_null().alias(format!("{name} is written")));
    }
    let mut rules = Vec::new();
    for batch in lines.clone().select(columns)?.collect().await? {
        for row in 0..batch.num_rows() {
            rules.push(rule(&batch, row, &numbers, rfm)?);
        }
    }
    rules.sort_by_key(|(number, _)| *number);
    if let Some(twice) = rules.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        let message = "two rules of the segment map have the same number, so neither comes first";
        return Err(Error::new(ErrorKind::Value, message).with("rule", twice[0].0));
    }
    let [recency, frequency, monetary] = rfm.dimensions().map(|dimension| dimension.bins);
    Ok(SegmentMap {
        bins: Bins::Each { recency, frequency, monetary },
        otherwise: None,
        rules: rules.into_iter().map(|(_, rule)| rule).collect(),
    })
}

/// A row as a rule with its number.
fn rule(batch: &RecordBatch, row: usize, numbers: &[&str], rfm: &Rfm) -> Result<(i64, Rule)> {
    let column = |name: &str| batch.column_by_name(name).filter(|column| column.is_valid(row));
    let name = column("segment").map(|names| names.as_string::<i32>().value(row).to_owned());
    let number = |name: &str| column(name).map(|numbers| numbers.as_primitive::<Int64Type>().value(row));
    let is_written = |name: &str| {
        column(&format!("{name} is written")).is_some_and(|written| written.as_boolean().value(row))
    };
    let wrong = |message: String| {
        let error = Error::new(ErrorKind::Value, message);
        match number("rule") {
            Some(rule) => error.with("rule", rule),
            None => error,
        }
    };
    if let Some(name) = numbers.iter().find(|name| is_written(name) && number(name).is_none()) {
        return Err(wrong(format!("the segment map has a {name} that is no whole number")));
    }
    let place = number("rule").ok_or_else(|| wrong("a rule of the segment map has no number".to_owned()))?;
    let name = name.ok_or_else(|| wrong("a rule of the segment map has no segment".to_owned()))?;
    let [recency, frequency, monetary] = [0, 1, 2].map(|dimension| {
        let [from, to] = ["from", "to"].map(|end| number(&format!("{}_{end}", DIMENSIONS[dimension])));
        let most = rfm.dimensions()[dimension].bins;
        from.or(to).map(|_| Scores::Range([from.unwrap_or(1), to.unwrap_or(most)]))
    });
    Ok((place, Rule { name, recency, frequency, monetary, cells: None }))
}
