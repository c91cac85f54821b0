//! `order_line`: the input's lines in our columns and types, beside the verdicts of the user's predicates.

use chrono::{Days, NaiveDate};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::functions::expr_fn::named_struct;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::{Expr, ExprSchemable, cast, ident, lit};
use datafusion::prelude::DataFrame;
use datafusion::scalar::ScalarValue;

use super::Source;
use super::cast::{self, FACTOR, MONEY, TIME};
use super::mapping::{Mapping, null};
use crate::config::{Config, GroupBy, Input, Select};
use crate::error::{Error, Result};
use crate::tables::GroupType;
use crate::udf::line_amount::{LINE_AMOUNT, line_amount, takes_price, takes_quantity};

/// How many copies of a line there are, before it has its own name among ours.
const COPIES: &str = "copies of the line";

/// The lines in our columns, and what is known of all of them before any is read.
#[derive(Debug)]
pub struct OrderLine {
    pub relation: DataFrame,
    /// The first moment after the run date; null without one, or where no line is as late.
    pub run_end: ScalarValue,
    /// Whether any line may be left out.
    pub some_left_out: bool,
}

/// The relation over a source, up to a run date.
///
/// # Errors
/// When a column that the selection needs is missing, or an expression or predicate does not fit the columns.
pub fn order_line(source: &Source, config: &Config, run_date: Option<NaiveDate>) -> Result<OrderLine> {
    let input = config.required_input()?;
    let excludes_unpriced = config.clean.unpriced == "exclude";
    let lines = if config.clean.drop_duplicates {
        let columns: Vec<Expr> = source.lines.schema().columns().into_iter().map(Expr::Column).collect();
        source.lines.clone().aggregate(columns, vec![count(lit(1)).alias(COPIES)])?
    } else {
        source.lines.clone().with_column(COPIES, lit(1_i64))?
    };
    let may_be = |predicate: &Expr| !source.footers.rule_out(predicate, lines.schema());
    let mut mapping = Mapping::new(&lines, source.lines.schema(), "input.columns");
    let passes_filter = match &input.filter {
        Some(filter) => mapping.predicate(filter, "input.filter")?,
        None => lit(true),
    };
    let mut columns = mapping.columns(input, config.select, excludes_unpriced)?;
    let run_end = run_date.map(end_of).transpose()?;
    let run_end = run_end.filter(|end| is_as_late(&columns, *end).as_ref().is_none_or(may_be));
    mapping.retain_failing(may_be);
    columns.extend([
        mapping.group_key(&config.rules.by)?.alias("group_key"),
        ident(COPIES).alias("copies"),
        passes_filter.alias("passes_filter"),
        mapping.first_failing(|failing| lit(failing.column))?.alias("invalid_column"),
        mapping.first_failing(|failing| failing.example.clone())?.alias("invalid_value"),
    ]);
    let typed = lines.clone().select(columns.clone())?;
    // what a predicate may name
    let ours = DFSchema::try_from(typed.schema().as_arrow().project(&(0..7).collect::<Vec<_>>())?)?;
    let is_return = Mapping::new(&typed, &ours, "input.columns")
        .predicate(&config.clean.returns_when, "clean.returns_when")?;
    let is_return_of_input = over_the_input(&is_return, &columns, lines.schema())?;
    let some_are_returns = is_return_of_input.as_ref().is_none_or(may_be);
    let relation = if !some_are_returns {
        typed.with_column("is_return", lit(false))?
    } else if let Some(is_return) = is_return_of_input {
        columns.push(is_return.alias("is_return"));
        lines.clone().select(columns)?
    } else {
        typed.with_column("is_return", is_return)?
    };
    Ok(OrderLine {
        relation,
        run_end: ScalarValue::TimestampMicrosecond(run_end, None),
        some_left_out: input.filter.is_some()
            || run_end.is_some()
            || mapping.may_fail()
            || some_are_returns
            || excludes_unpriced,
    })
}

/// Whether a line is of a moment or later.
fn is_as_late(columns: &[Expr], moment: i64) -> Option<Expr> {
    let moment = lit(ScalarValue::TimestampMicrosecond(Some(moment), None));
    definition_of("order_ts", columns).map(|order_ts| order_ts.gt_eq(moment))
}

/// The first moment after a day, in microseconds since 1970.
///
/// # Errors
/// When the day is the calendar's last.
pub fn end_of(day: NaiveDate) -> Result<i64> {
    let next = day.checked_add_days(Days::new(1)).and_then(|next| next.and_hms_opt(0, 0, 0));
    Ok(next.ok_or_else(|| Error::config("the run date is out of range"))?.and_utc().timestamp_micros())
}

/// An expression over our columns as one over the input's, where no value changes between them: the planner then compares what is read, not
/// what it is cast to. (It would compare unrounded what a cast rounds.)
fn over_the_input(expr: &Expr, columns: &[Expr], input: &DFSchema) -> Result<Option<Expr>> {
    for column in expr.column_refs() {
        match definition_of(&column.name, columns) {
            Some(definition) if keeps_values(&definition, input)? => {}
            _ => return Ok(None),
        }
    }
    let defined = |part: Expr| match &part {
        Expr::Column(column) => {
            Ok(definition_of(&column.name, columns).map_or(Transformed::no(part), Transformed::yes))
        }
        _ => Ok(Transformed::no(part)),
    };
    Ok(Some(expr.clone().transform_up(defined).data()?))
}

/// What a column of ours is made of.
fn definition_of(name: &str, columns: &[Expr]) -> Option<Expr> {
    let is_named = |definition: &&Expr| definition.name_for_alias().is_ok_and(|alias| alias == name);
    columns.iter().find(is_named).map(|definition| definition.clone().unalias())
}

/// Whether a column of ours is as given, but for its type, or what is made of numbers that are.
fn keeps_values(definition: &Expr, input: &DFSchema) -> Result<bool> {
    let from = match definition {
        Expr::Column(_) | Expr::Literal(_, _) => return Ok(true),
        Expr::ScalarFunction(call) => return Ok(call.func.name() == LINE_AMOUNT),
        Expr::Cast(cast) => cast.expr.get_type(input)?,
        Expr::TryCast(cast) => cast.expr.get_type(input)?,
        _ => return Ok(false),
    };
    Ok(match from {
        DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) | DataType::Decimal128(_, scale) => {
            (0..=4).contains(&scale)
        }
        from => from.is_integer(),
    })
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
        let quantity = self.decimal("quantity", theirs.quantity.as_ref(), &FACTOR)?;
        let unit_price = self.decimal("unit_price", theirs.unit_price.as_ref(), &FACTOR)?;
        let amount = self.decimal("amount", theirs.amount.as_ref(), &MONEY)?;
        let needs_money = if excludes_unpriced { Some("clean.unpriced = \"exclude\"") } else { rfm };
        if let Some(needed_by) = needs_money.filter(|_| unit_price.is_none() && amount.is_none()) {
            return Err(self.missing("unit_price or amount", needed_by));
        }
        let amount = match (amount, &unit_price) {
            (Some(amount), _) => amount,
            (None, Some(unit_price)) => match &quantity {
                Some(quantity) => {
                    let quantity =
                        self.factor("quantity", theirs.quantity.as_ref(), quantity, takes_quantity)?;
                    let unit_price =
                        self.factor("unit_price", theirs.unit_price.as_ref(), unit_price, takes_price)?;
                    line_amount(quantity, unit_price)
                }
                None => cast(unit_price.clone(), MONEY),
            },
            (None, None) => null(&MONEY)?,
        };
        Ok(vec![
            order_id.alias("order_id"),
            item_id.alias("item_id"),
            customer_id.alias("customer_id"),
            order_ts.alias("order_ts"),
            quantity.unwrap_or(cast(lit(1), FACTOR)).alias("quantity"),
            unit_price.map_or_else(|| null(&FACTOR), Ok)?.alias("unit_price"),
            amount.alias("amount"),
        ])
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

    /// A number as it is multiplied: as given where its type can be, else ours.
    fn factor(
        &self,
        name: &'static str,
        text: Option<&String>,
        ours: &Expr,
        takes: fn(&DataType) -> bool,
    ) -> Result<Expr> {
        match self.given(name, text.map(String::as_str), None)? {
            Some((given, from)) if takes(&from) => Ok(given),
            _ => Ok(ours.clone()),
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
}
