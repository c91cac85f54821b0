//! A group of `rules.by`: baskets that are mined apart from all others.

use std::fmt;

use datafusion::logical_expr::{Expr, Operator, binary_expr};
use datafusion::prelude::{DataFrame, ident, lit};
use datafusion::scalar::ScalarValue;

use crate::error::{Error, Result};
use crate::tables::GroupColumn;

/// A group of baskets that is mined apart: its columns, and its values of them. Without columns all baskets are one group.
#[derive(Debug, Clone, Default)]
pub struct Group {
    pub columns: Vec<GroupColumn>,
    pub values: Vec<ScalarValue>,
}

impl Group {
    /// The error with the group named.
    #[must_use]
    pub fn blame(&self, error: Error) -> Error {
        if self.columns.is_empty() { error } else { error.with("group", self) }
    }

    /// A relation's rows with the group's values before them.
    ///
    /// # Errors
    /// When it has a column of such a name.
    pub fn lead(&self, frame: DataFrame) -> Result<DataFrame> {
        if self.columns.is_empty() {
            return Ok(frame);
        }
        let values = self
            .columns
            .iter()
            .zip(&self.values)
            .map(|(column, value)| lit(value.clone()).alias(&column.name));
        let columns = frame.schema().columns().into_iter().map(Expr::Column);
        let led: Vec<Expr> = values.chain(columns).collect();
        Ok(frame.select(led)?)
    }

    /// The group's rows of a relation that its columns lead, without them.
    ///
    /// # Errors
    /// When it has no such columns.
    pub fn rows_of(&self, frame: DataFrame) -> Result<DataFrame> {
        let is_of_group = self.columns.iter().zip(&self.values).map(|(column, value)| {
            let (column, value) = (ident(&column.name), lit(value.clone()));
            binary_expr(column, Operator::IsNotDistinctFrom, value)
        });
        let columns = frame.schema().columns().into_iter().skip(self.columns.len()).map(Expr::Column);
        let columns: Vec<Expr> = columns.collect();
        let rows = match is_of_group.reduce(Expr::and) {
            Some(is_of_group) => frame.filter(is_of_group)?,
            None => frame,
        };
        Ok(rows.select(columns)?)
    }
}

/// Its columns with their values, as for an error.
impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values =
            self.columns.iter().zip(&self.values).map(|(column, value)| format!("{} = {value}", column.name));
        f.write_str(&values.collect::<Vec<_>>().join(", "))
    }
}
