//! What a user wrote of a column or a predicate, as expressions over the columns that there are.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, DataFusionError};
use datafusion::functions::expr_fn::coalesce;
use datafusion::logical_expr::{Expr, ExprSchemable, Volatility, cast as cast_to, lit, try_cast, when};
use datafusion::prelude::DataFrame;
use datafusion::scalar::ScalarValue;

use super::cast::{self, Cast, ID};
use crate::error::{Error, ErrorKind, Result};
use crate::expression::endless;
use crate::text::in_a_line;

/// A column of ours that some lines may have no valid value for.
pub struct Failing {
    pub column: &'static str,
    /// What is given, as text.
    pub example: Expr,
    when: Expr,
}

/// Finds what the configuration says in the lines that there are.
pub struct Mapping<'a> {
    pub lines: &'a DataFrame,
    /// The columns that a user may name.
    pub raw: &'a DFSchema,
    /// The table of keys that name columns.
    section: &'static str,
    /// Gathers what may fail, in the order of the columns.
    failing: Vec<Failing>,
}

/// A user's predicate over the columns of a relation; where it is null it is not true.
///
/// # Errors
/// When it is none, or does not fit the columns.
pub fn predicate(relation: &DataFrame, text: &str, key: &str) -> Result<Expr> {
    Mapping::new(relation, relation.schema(), "").predicate(text, key)
}

impl<'a> Mapping<'a> {
    pub fn new(lines: &'a DataFrame, raw: &'a DFSchema, section: &'static str) -> Self {
        Self { lines, raw, section, failing: Vec::new() }
    }

    /// An id as it is when it is an integer, else as a string. Grouping integers is faster; what is published is a string.
    pub fn id(
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

    /// Notes when a cast fails; a required value fails when it is missing, too.
    pub fn checked(
        &mut self,
        column: &'static str,
        given: Expr,
        cast: Result<Cast>,
        required: bool,
    ) -> Result<Expr> {
        let Cast { value, fails, missing } = cast.map_err(|error| self.mapped(error, column))?;
        let when = match (required, missing, fails) {
            (true, Some(missing), Some(fails)) => Some(missing.or(fails)),
            (true, Some(missing), None) => Some(missing),
            (true, None, _) => Some(value.clone().is_null()),
            (false, _, fails) => fails,
        };
        if let Some(when) = when {
            let example = example_of(given, self.lines.schema())?;
            self.failing.push(Failing { column, example, when });
        }
        Ok(value)
    }

    /// Forgets what fails where no line may be.
    pub fn retain_failing(&mut self, may_be: impl Fn(&Expr) -> bool) {
        self.failing.retain(|failing| may_be(&failing.when));
    }

    pub fn may_fail(&self) -> bool {
        !self.failing.is_empty()
    }

    /// For a line, something of the first column that fails; null where none does.
    pub fn first_failing(&self, then: impl Fn(&Failing) -> Expr) -> Result<Expr> {
        let nothing = null(&DataType::Utf8)?;
        let Some((first, others)) = self.failing.split_first() else { return Ok(nothing) };
        let mut any = first.when.clone();
        let mut verdict = when(first.when.clone(), then(first));
        for other in others {
            any = any.or(other.when.clone());
            verdict = verdict.when(other.when.clone(), then(other));
        }
        // of most lines one look tells that nothing fails
        Ok(when(any, verdict.otherwise(nothing.clone())?).otherwise(nothing)?)
    }

    /// The expression for a column of ours and its type: a column of exactly the name written, else a SQL expression; where
    /// nothing is written, the column of our own name.
    pub fn given(
        &self,
        name: &str,
        text: Option<&str>,
        needed_by: Option<&str>,
    ) -> Result<Option<(Expr, DataType)>> {
        let written = text.unwrap_or(name);
        let expr = if self.raw.has_column_with_unqualified_name(written) {
            self.column(written)?
        } else if text.is_some() {
            self.expression(written, &self.key(name))?
        } else {
            return needed_by.map_or(Ok(None), |needed_by| Err(self.missing(name, needed_by)));
        };
        let from = expr.get_type(self.lines.schema()).map_err(|error| self.mapped(error.into(), name))?;
        Ok(Some((expr, from)))
    }

    pub fn column(&self, name: &str) -> Result<Expr> {
        let (qualifier, field) = self.lines.schema().qualified_field_with_unqualified_name(name)?;
        Ok(Expr::Column(Column::from((qualifier, field))))
    }

    /// A predicate; one that is null is not true. (`IS TRUE` says the same, but the engine's two planners disagree on whether
    /// its result may be null.)
    pub fn predicate(&self, text: &str, key: &str) -> Result<Expr> {
        let expr = self.expression(text, key)?;
        match expr.get_type(self.lines.schema())? {
            DataType::Boolean | DataType::Null => Ok(coalesce(vec![expr, lit(false)])),
            other => Err(Error::config(format!("{key} must be true or false, not {other}"))
                .with("key", key)
                .with("value", text)),
        }
    }

    /// One line's expression over the columns: no aggregates, no subqueries.
    pub fn expression(&self, text: &str, key: &str) -> Result<Expr> {
        let wrong =
            |message: String| Error::new(ErrorKind::Schema, message).with("key", key).with("value", text);
        if let Some(endless) = endless(text) {
            return Err(wrong(format!("{key} {endless}")));
        }
        let expr = self.lines.parse_sql_expr(text).map_err(|error| {
            let what = if key.starts_with(self.section) && !self.section.is_empty() {
                "neither a column nor an"
            } else {
                "no"
            };
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
                Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_) => {
                    Some("a subquery")
                }
                Expr::ScalarFunction(call) if call.func.signature().volatility != Volatility::Immutable => {
                    Some("one whose value may change")
                }
                Expr::Unnest(_) => Some("several"),
                Expr::Placeholder(_) => Some("a parameter"),
                _ => return Ok(TreeNodeRecursion::Continue),
            };
            Ok(TreeNodeRecursion::Stop)
        })?;
        if let Some(what) = unusable {
            return Err(wrong(format!("{key} must be an expression over one line, not {what}")));
        }
        // what no line could be computed with, such as a pattern that is none, is found now
        let planned = self.lines.clone().select([expr.clone()]).and_then(DataFrame::into_optimized_plan);
        match planned {
            Ok(_) => Ok(expr),
            Err(error) => {
                let cause = error.find_root().strip_backtrace();
                Err(wrong(format!("{key} cannot be evaluated")).caused_by(cause))
            }
        }
    }

    pub fn missing(&self, column: &str, needed_by: &str) -> Error {
        let one_column = self.raw.fields().len() == 1 && self.names().contains([';', '\t', '|', ',']);
        let hint = match (one_column, needed_by) {
            (true, _) => " (or is input.csv.delimiter another?)",
            (false, "rfm") => " or leave rfm out with --select rules",
            (false, _) => "",
        };
        let key = column.split(' ').next().unwrap_or(column);
        Error::new(
            ErrorKind::Schema,
            format!(
                "there is no column {column}, which {needed_by} needs; map it with {}{hint}; there are: {}",
                self.key(key),
                self.names()
            ),
        )
    }

    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.section)
    }

    fn mapped(&self, error: Error, name: &str) -> Error {
        error.with("key", self.key(name))
    }

    fn names(&self) -> String {
        let names =
            self.raw.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>().join(", ");
        in_a_line(&names)
    }
}

/// A value as text, whatever it is.
fn example_of(given: Expr, schema: &DFSchema) -> Result<Expr> {
    Ok(match given.get_type(schema)? {
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(_, _) => {
            // one that is out of range has no text of its own
            try_cast(cast_to(given, DataType::Int64), DataType::Utf8)
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
            when(given.is_not_null(), lit("bytes that are no UTF-8")).otherwise(null(&DataType::Utf8)?)?
        }
        _ => try_cast(given, DataType::Utf8),
    })
}

/// A null of a type.
pub fn null(data_type: &DataType) -> Result<Expr> {
    Ok(lit(ScalarValue::try_from(data_type)?))
}
