//! Which baskets are mined together: all of them, or those of each group of `rules.by`.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray, StructArray, UInt32Array};
use datafusion::arrow::compute::{SortColumn, SortOptions, concat_batches, lexsort_to_indices, take};
use datafusion::arrow::datatypes::{DataType, Int64Type, UInt32Type};
use datafusion::functions::core::expr_ext::FieldAccessor;
use datafusion::functions::expr_fn::named_struct;
use datafusion::logical_expr::{JoinType, cast, col, ident, lit};
use datafusion::prelude::DataFrame;
use datafusion::scalar::ScalarValue;

use super::{allowed_items, rows_of};
use crate::config::{GroupBy, Rules};
use crate::error::{Error, ErrorKind, Result};
use crate::group::Group;
use crate::kept::Kept;
use crate::rows::Rows;
use crate::source::Hierarchy;
use crate::steps::Steps;
use crate::tables::{self, GroupColumn, GroupType};
use crate::udaf::word_literal;

/// A group with its number of baskets.
#[derive(Debug, Clone)]
pub(super) struct Members {
    pub group: Group,
    pub basket_count: i64,
}

/// All coded baskets, and the groups that they are mined in.
#[derive(Debug)]
pub(super) struct Baskets {
    /// In the order of their values, which is that of the published tables.
    pub groups: Vec<Members>,
    /// The items of each basket; none where there are groups, whose baskets are kept together.
    all: Option<Kept>,
}

impl Baskets {
    /// The baskets of the group of that number.
    pub async fn of(&self, steps: &mut Steps<'_>, number: usize) -> Result<Kept> {
        if let Some(all) = &self.all {
            return Ok(all.clone());
        }
        steps.parameters.set("group_number", number as i64);
        steps.keep("basket_of_group").await
    }
}

/// Counts and codes the baskets of each group; `item` is the same for all.
pub(super) async fn baskets(steps: &mut Steps<'_>, rules: &Rules, hierarchy: &Hierarchy) -> Result<Baskets> {
    if rules.by.is_empty() {
        let basket_count = steps.rows("basket_count").await?.single_count();
        steps.parameters.set("min_support_count", rules.min_support.count_of(basket_count));
        steps.view("item_line").await?;
        code_items(steps, rules, hierarchy).await?;
        let groups = vec![Members { group: Group::default(), basket_count }];
        return Ok(Baskets { groups, all: Some(steps.keep("basket").await?) });
    }
    register_grouped_lines(steps, rules).await?;
    steps.keep("group_tally").await?;
    let (keys, groups) = members(&steps.rows("group_count").await?, rules)?;
    steps.group.columns = group_columns(&keys)?;
    if groups.len() as u64 > rules.max_groups {
        let message = format!(
            "rules.by makes {} groups, more than rules.max_groups = {}; raise it, or group by something coarser",
            groups.len(),
            rules.max_groups
        );
        return Err(Error::new(ErrorKind::Limit, message));
    }
    let least: Vec<i64> =
        groups.iter().map(|members| rules.min_support.count_of(members.basket_count)).collect();
    let numbers: Int64Array = (0..groups.len() as i64).map(Some).collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("group_number", Arc::new(numbers)),
        ("group_key", keys),
        ("min_support_count", Arc::new(Int64Array::from(least))),
    ];
    steps.register_rows("basket_group", &rows_of(columns)?).await?;
    steps.view("grouped_item_line").await?;
    let lines = steps.context.table_provider("grouped_item_line").await?;
    steps.register("item_line", lines)?;
    code_items(steps, rules, hierarchy).await?;
    steps.keep("grouped_basket").await?;
    // plans are shown for one group where there are no rows to tell the groups
    let groups = if steps.explains_only() { vec![unknown(&steps.group.columns)] } else { groups };
    Ok(Baskets { groups, all: None })
}

/// Gives a code to each item and category that is wanted and may be frequent.
async fn code_items(steps: &mut Steps<'_>, rules: &Rules, hierarchy: &Hierarchy) -> Result<()> {
    steps.register_rows("hierarchy_node", &pairs(["item_id", "node_id"], &hierarchy.nodes())?).await?;
    steps.view("item_node").await?;
    let nodes = steps.context.table("item_node").await?;
    let wanted = allowed_items(&nodes, &rules.items, "rules.items")?;
    steps.register("wanted_item", nodes.filter(wanted)?.into_view())?;
    if steps.keep("item").await?.rows > u32::MAX.into() {
        return Err(Error::new(
            ErrorKind::Limit,
            "there are more items than item codes; raise rules.min_support",
        ));
    }
    steps.keep("line_item").await?;
    steps.register_rows("item_ancestor", &pairs(["item_id", "ancestor_id"], &hierarchy.ancestors())?).await?;
    let related = steps.rows("related_item").await?;
    let mut words = Vec::with_capacity(related.count() * 2);
    for batch in &related.batches {
        let [first, second] = [0, 1].map(|column| batch.column(column).as_primitive::<UInt32Type>().values());
        words.extend(first.iter().zip(second).flat_map(|(first, second)| [*first, *second]));
    }
    steps.parameters.set("related_items", word_literal::encode(words.into_iter()));
    Ok(())
}

fn pairs(names: [&str; 2], pairs: &[(&str, &str)]) -> Result<Rows> {
    let first: StringArray = pairs.iter().map(|(first, _)| Some(*first)).collect();
    let second: StringArray = pairs.iter().map(|(_, second)| Some(*second)).collect();
    rows_of(vec![(names[0], Arc::new(first)), (names[1], Arc::new(second))])
}

/// `grouped_line`: the lines with their values of all group columns, those of their customers' scores among them.
async fn register_grouped_lines(steps: &Steps<'_>, rules: &Rules) -> Result<()> {
    let mut lines = steps.context.table("line").await?;
    let line_names = match lines.schema().field_with_unqualified_name("group_key")?.data_type() {
        DataType::Struct(fields) => fields.iter().map(|field| field.name().clone()).collect(),
        _ => Vec::new(),
    };
    let mut line_names = line_names.into_iter();
    if rules.by.iter().any(|by| matches!(by, GroupBy::Customer(_))) {
        lines = with_customers(steps, lines).await?;
    }
    let mut fields = Vec::new();
    let mut names = Vec::new();
    for by in &rules.by {
        let (name, value) = match by {
            GroupBy::Line(_) => {
                let name = line_names.next().ok_or_else(|| Error::internal("a group column is missing"))?;
                (name.clone(), col("group_key").field(name))
            }
            GroupBy::Customer(name) => (name.clone(), ident(format!("customer.{name}"))),
        };
        refuse_name(&name, &names)?;
        fields.extend([lit(name.clone()), value]);
        names.push(name);
    }
    let grouped = lines.select(vec![
        col("order_id"),
        col("item_id"),
        col("is_refund"),
        named_struct(fields).alias("group_key"),
    ])?;
    steps.register("grouped_line", grouped.into_view())
}

/// The lines with the columns of their customers' scores that make groups, each under `customer.` and its name.
async fn with_customers(steps: &Steps<'_>, lines: DataFrame) -> Result<DataFrame> {
    const ID: &str = "customer.customer_id";
    let customers = steps.context.table("customer_rfm").await?;
    let mut columns = vec![ident("customer_id").alias(ID)];
    for name in crate::config::CUSTOMER_GROUPS {
        let column = ident(*name);
        let field = customers.schema().field_with_unqualified_name(name)?;
        let group_type = GroupType::of(field.data_type()).ok_or_else(|| Error::internal("no group type"))?;
        columns.push(cast(column, group_type.data_type()).alias(format!("customer.{name}")));
    }
    let customers = customers.select(columns)?;
    let id_text = cast(col("customer_id"), DataType::Utf8);
    // the customers are the side that is held in memory
    Ok(customers.join_on(lines, JoinType::Right, [ident(ID).eq(id_text)])?)
}

/// A group column leads the tables, so none of their columns may have its name.
fn refuse_name(name: &str, before: &[String]) -> Result<()> {
    let is_taken =
        tables::TABLES.iter().filter(|table| table.is_grouped()).any(|table| table.has_column(name));
    if is_taken || before.iter().any(|other| other == name) {
        let message = "has a column whose name is taken by another or by the tables' own; rename it with AS";
        return Err(Error::config(format!("rules.by {message}"))
            .with("key", "rules.by")
            .with("column", name));
    }
    Ok(())
}

/// The groups in the order of their values, and these values as structs.
fn members(counts: &Rows, rules: &Rules) -> Result<(ArrayRef, Vec<Members>)> {
    let counts = concat_batches(&counts.schema, &counts.batches)?;
    let keys = counts.column(0).as_struct();
    let options = Some(SortOptions { descending: false, nulls_first: false });
    let by: Vec<SortColumn> =
        keys.columns().iter().map(|values| SortColumn { values: Arc::clone(values), options }).collect();
    let order: UInt32Array = lexsort_to_indices(&by, None)?;
    let keys = take(keys, &order, None)?;
    let counts = take(counts.column(1), &order, None)?;
    let columns = group_columns(&keys)?;
    debug_assert_eq!(columns.len(), rules.by.len());
    let counts = counts.as_primitive::<Int64Type>().values().iter().enumerate();
    let members = counts.map(|(row, basket_count)| {
        let values = keys.as_struct().columns().iter().map(|values| ScalarValue::try_from_array(values, row));
        let values = values.collect::<Result<_, _>>()?;
        Ok(Members { group: Group { columns: columns.clone(), values }, basket_count: *basket_count })
    });
    let members = members.collect::<Result<_>>()?;
    Ok((keys, members))
}

fn group_columns(keys: &ArrayRef) -> Result<Vec<GroupColumn>> {
    let column = |(name, values): (&str, &ArrayRef)| {
        let group_type = GroupType::of(values.data_type()).ok_or_else(|| Error::internal("no group type"))?;
        Ok(GroupColumn { name: name.to_owned(), group_type })
    };
    let keys: &StructArray = keys.as_struct();
    keys.column_names().into_iter().zip(keys.columns()).map(column).collect()
}

/// A group for plans alone.
fn unknown(columns: &[GroupColumn]) -> Members {
    let values = columns.iter().map(|column| ScalarValue::try_from(column.group_type.data_type()));
    let values = values.map(|value| value.unwrap_or(ScalarValue::Null)).collect();
    Members { group: Group { columns: columns.to_vec(), values }, basket_count: 0 }
}
