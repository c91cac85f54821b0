//! `order_line`: the input's lines in our columns and types, beside the verdicts of the user's predicates.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, DataFusionError};
use datafusion::functions::expr_fn::{coalesce, named_struct};
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::{Expr, ExprSchemable, cast, ident, lit, try_cast, when};
use datafusion::prelude::DataFrame;
use datafusion::scalar::ScalarValue;

use super::Source;
use super::cast::{self, Cast, FACTOR, ID, MONEY, TIME};
use crate::config::{Config, GroupBy, Input, Select};
use crate::error::{Error, ErrorKind, Result};
use crate::tables::GroupType;

/// How many copies of a line there are, before it has its own name among ours.
const COPIES: &str = "copies of the line";

/// The relation over a source.
///
/// # Errors
/// When a column that the selection needs is missing, or an expression or predicate does not fit the columns.
pub fn order_line(source: &Source, config: &Config) -> Result<DataFrame> {
    let input = config.required_input()?;
    let lines = if config.clean.drop_duplicates {
        let columns: Vec<Expr> = source.lines.schema().columns().into_iter().map(Expr::Column).collect();
        source.lines.clone().aggregate(columns, vec![count(lit(1)).alias(COPIES)])?
    } else {
        source.lines.clone().with_column(COPIES, lit(1_i64))?
    };
    let mut mapping = Mapping { lines: &lines, raw: source.lines.schema(), failing: Vec::new() };
    let passes_filter = match &input.filter {
        Some(filter) => null_is_false(mapping.predicate(filter, "input.filter")?),
        None => lit(true),
    };
    let mut columns = mapping.columns(input, config.select, config.clean.unpriced == "exclude")?;
    columns.extend([
        mapping.group_key(&config.rules.by)?.alias("group_key"),
        ident(COPIES).alias("copies"),
        passes_filter.alias("passes_filter"),
        mapping.first_failing(|failing| lit(failing.column))?.alias("invalid_column"),
        mapping
            .first_failing(|failing| try_cast(failing.given.clone(), DataType::Utf8))?
            .alias("invalid_value"),
    ]);
    let typed = lines.clone().select(columns)?;
    // what a predicate may name
    let ours = DFSchema::try_from(typed.schema().as_arrow().project(&(0..7).collect::<Vec<_>>())?)?;
    let is_return = Mapping { lines: &typed, raw: &ours, failing: Vec::new() }
        .predicate(&config.clean.returns_when, "clean.returns_when")?;
    Ok(typed.with_column("is_return", null_is_false(is_return))?)
}

/// A column of ours that some lines may have no valid value for.
struct Failing {
    column: &'static str,
    given: Expr,
    when: Expr,
}

/// Finds what the configuration says in the lines that there are.
struct Mapping<'a> {
    lines: &'a DataFrame,
    /// The columns that a user may name.
    raw: &'a DFSchema,
    /// Gathers what may fail, in the order of the columns.
    failing: Vec<Failing>,
}

impl Mapping<'_> {
    /// Our columns from `order_id` to `amount`, typed; those that there are not are null.
    fn columns(&mut self, input: &Input, select: Select, excludes_unpriced: bool) -> Result<Vec<Expr>> {
        let theirs = &input.columns;
        let rfm = select.rfm.then_some("rfm");
        let itemsets = select.itemsets.then_some("itemsets and rules");
        let order_id = self.id("order_id", theirs.order_id.as_ref(), Some("every selection"), true)?;
        let item_id = self.id("item_id", theirs.item_id.as_ref(), itemsets, false)?;
        let customer_id = self.id("customer_id", theirs.customer_id.as_ref(), rfm, false)?;
        let order_ts = self.time("order_ts", theirs.order_ts.as_ref(), rfm, &input.timezone)?;
        let quantity =
            self.decimal("quantity", theirs.quantity.as_ref(), &FACTOR)?.unwrap_or(cast(lit(1), FACTOR));
        let unit_price = self.decimal("unit_price", theirs.unit_price.as_ref(), &FACTOR)?;
        let amount = self.decimal("amount", theirs.amount.as_ref(), &MONEY)?;
        let needs_money = if excludes_unpriced { Some("clean.unpriced = \"exclude\"") } else { rfm };
        if let Some(needed_by) = needs_money.filter(|_| unit_price.is_none() && amount.is_none()) {
            return Err(self.missing("unit_price or amount", needed_by));
        }
        let amount = match (amount, &unit_price) {
            (Some(amount), _) => amount,
            (None, Some(unit_price)) => cast(quantity.clone() * unit_price.clone(), MONEY),
            (None, None) => null(&MONEY)?,
        };
        Ok(vec![
            order_id.alias("order_id"),
            item_id.alias("item_id"),
            customer_id.alias("customer_id"),
            order_ts.alias("order_ts"),
            quantity.alias("quantity"),
            unit_price.map_or_else(|| null(&FACTOR), Ok)?.alias("unit_price"),
            amount.alias("amount"),
        ])
    }

    /// An id as it is when it is an integer, else as a string. Grouping integers is faster; what is published is a string.
    fn id(
        &mut self,
        name: &'static str,
        text: Option<&String>,
        needed_by: Option<&str>,
        required: bool,
    ) -> Result<Expr> {
        match self.given(name, text.map(String::as_str), needed_by)? {
            Some((given, from)) if from.is_integer() => {
                self.checked(name, given.clone(), Ok(Cast::total(&given, given.clone())), required)
            }
            Some((given, from)) => self.checked(name, given.clone(), cast::id(&given, &from), required),
            None => null(&ID),
        }
    }

    fn time(
        &mut self,
        name: &'static str,
        text: Option<&String>,
        needed_by: Option<&str>,
        zone: &str,
    ) -> Result<Expr> {
        match self.given(name, text.map(String::as_str), needed_by)? {
            Some((given, from)) => self.checked(name, given.clone(), cast::time(&given, &from, zone), true),
            None => null(&TIME),
        }
    }

    fn decimal(&mut self, name: &'static str, text: Option<&String>, to: &DataType) -> Result<Option<Expr>> {
        match self.given(name, text.map(String::as_str), None)? {
            Some((given, from)) => {
                self.checked(name, given.clone(), cast::decimal(&given, &from, to), false).map(Some)
            }
            None => Ok(None),
        }
    }

    /// Notes when a cast fails; a required value fails when it is missing, too.
    fn checked(
        &mut self,
        column: &'static str,
        given: Expr,
        cast: Result<Cast>,
        required: bool,
    ) -> Result<Expr> {
        let Cast { value, fails, missing } = cast.map_err(|error| mapped(error, column))?;
        let when = if required { Some(missing.unwrap_or(value.clone().is_null())) } else { fails };
        if let Some(when) = when {
            self.failing.push(Failing { column, given, when });
        }
        Ok(value)
    }

    /// For a line, something of the first column that fails; null where none does.
    fn first_failing(&self, then: impl Fn(&Failing) -> Expr) -> Result<Expr> {
        let nothing = null(&DataType::Utf8)?;
        let Some((first, others)) = self.failing.split_first() else { return Ok(nothing) };
        let mut verdict = when(first.when.clone(), then(first));
        for other in others {
            verdict = verdict.when(other.when.clone(), then(other));
        }
        Ok(verdict.otherwise(nothing)?)
    }

    /// The expression for a column of ours and its type: a column of exactly the name written, else a SQL expression; where
    /// nothing is written, the column of our own name.
    fn given(
        &self,
        name: &str,
        text: Option<&str>,
        needed_by: Option<&str>,
    ) -> Result<Option<(Expr, DataType)>> {
        let written = text.unwrap_or(name);
        let expr = if self.raw.has_column_with_unqualified_name(written) {
            self.column(written)?
        } else if text.is_some() {
            self.expression(written, &format!("input.columns.{name}"))?
        } else {
            return needed_by.map_or(Ok(None), |needed_by| Err(self.missing(name, needed_by)));
        };
        let from = expr.get_type(self.lines.schema()).map_err(|error| mapped(error.into(), name))?;
        Ok(Some((expr, from)))
    }

    fn column(&self, name: &str) -> Result<Expr> {
        let (qualifier, field) = self.lines.schema().qualified_field_with_unqualified_name(name)?;
        Ok(Expr::Column(Column::from((qualifier, field))))
    }

    fn predicate(&self, text: &str, key: &str) -> Result<Expr> {
        let expr = self.expression(text, key)?;
        match expr.get_type(self.lines.schema())? {
            DataType::Boolean | DataType::Null => Ok(expr),
            other => Err(Error::config(format!("{key} must be true or false for a line, not {other}"))
                .with("key", key)
                .with("value", text)),
        }
    }

    /// What `rules.by` says of a line, as a struct; null where it says nothing of lines.
    fn group_key(&self, by: &[GroupBy]) -> Result<Expr> {
        let mut fields = Vec::new();
        for by in by {
            if let GroupBy::Line(text) = by {
                let (name, value) = self.group_column(text)?;
                fields.extend([lit(name), value]);
            }
        }
        if fields.is_empty() { null(&DataType::Boolean) } else { Ok(named_struct(fields)) }
    }

    /// A group column's name and its value of a line, of a type that groups have.
    fn group_column(&self, text: &str) -> Result<(String, Expr)> {
        let wrong = |message: &str| {
            Error::config(format!("rules.by {message}")).with("key", "rules.by").with("value", text)
        };
        let (name, value) = if self.raw.has_column_with_unqualified_name(text) {
            (text.to_owned(), self.column(text)?)
        } else {
            match self.expression(text, "rules.by")? {
                Expr::Alias(alias) => (alias.name, *alias.expr),
                Expr::Column(column) => (column.name.clone(), Expr::Column(column)),
                _ => return Err(wrong("needs a name for an expression: write it with AS and a name")),
            }
        };
        let from = value.get_type(self.lines.schema())?;
        let group_type = GroupType::of(&from).ok_or_else(|| {
            wrong(&format!("must be a string, a whole number, a date or a truth value, not {from}; cast it"))
        })?;
        Ok((name, cast(value, group_type.data_type())))
    }

    /// One line's expression over the columns: no aggregates, no subqueries.
    fn expression(&self, text: &str, key: &str) -> Result<Expr> {
        let wrong =
            |message: String| Error::new(ErrorKind::Schema, message).with("key", key).with("value", text);
        let expr = self.lines.parse_sql_expr(text).map_err(|error| {
            let what = if key.starts_with("input.columns.") { "neither a column nor an" } else { "no" };
            let wrong =
                wrong(format!("{key} is {what} expression over the columns; there are: {}", self.names()));
            match error.find_root() {
                DataFusionError::SchemaError(_, _) => wrong, // it would list columns of ours among them
                other => wrong.caused_by(other.strip_backtrace()),
            }
        })?;
        let mut unusable = None;
        expr.apply(|part| {
            unusable = match part {
                Expr::AggregateFunction(_) | Expr::WindowFunction(_) => Some("an aggregate"),
                Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) => Some("a subquery"),
                Expr::Unnest(_) => Some("several"),
                Expr::Placeholder(_) => Some("a parameter"),
                _ => return Ok(TreeNodeRecursion::Continue),
            };
            Ok(TreeNodeRecursion::Stop)
        })?;
        match unusable {
            Some(what) => Err(wrong(format!("{key} must be an expression over one line, not {what}"))),
            None => Ok(expr),
        }
    }

    fn missing(&self, column: &str, needed_by: &str) -> Error {
        let hint = if needed_by == "rfm" { " or leave rfm out with --select rules" } else { "" };
        let key = column.split(' ').next().unwrap_or(column);
        Error::new(
            ErrorKind::Schema,
            format!(
                "there is no column {column}, which {needed_by} needs; map it with input.columns.{key}{hint}; there are: {}",
                self.names()
            ),
        )
    }

    fn names(&self) -> String {
        self.raw.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>().join(", ")
    }
}

fn mapped(error: Error, name: &str) -> Error {
    error.with("key", format!("input.columns.{name}"))
}

/// A predicate that is null is not true. (`IS TRUE` says the same, but the engine's two planners disagree on whether its
/// result may be null.)
fn null_is_false(predicate: Expr) -> Expr {
    coalesce(vec![predicate, lit(false)])
}

/// A null of a type.
pub fn null(data_type: &DataType) -> Result<Expr> {
    Ok(lit(ScalarValue::try_from(data_type)?))
}
