//! The aggregates that SQL alone would do slowly or not exactly, one a file.
//!
//! Each is exact, mergeable in any order, and takes its parameters as literal arguments, because only an aggregate's
//! name travels to another process.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, ListArray};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field, UInt32Type};
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_datafusion_err, plan_err};
use datafusion::logical_expr::AggregateUDF;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Literal;

mod basket;
mod candidate_counts;
mod candidates;
mod customer_orders;
mod distinct_count;
mod few_groups;
mod frequent_itemsets;
mod grouped_sets;
mod interner;
mod item_counts;
mod itemset_index;
mod itemset_lists;
mod itemsets_of_ranks;
mod maximal_sets;
mod order_ids;
mod part_pair_counts;
mod part_sum;
mod quantile_edges;
mod ranked;
mod repetition;
mod single_group;
mod value_counts;
pub mod word_literal;

pub use candidates::Candidates;
pub use itemsets_of_ranks::too_many_itemsets;

/// The aggregates whose parts a later aggregation adds up: a query that has no others may give a group in several rows.
pub const IN_PARTS: [&str; 2] = [part_pair_counts::PART_PAIR_COUNTS, part_sum::PART_SUM];

/// All our aggregates, to be registered wherever a plan is made or run.
#[must_use]
pub fn all() -> Vec<AggregateUDF> {
    vec![
        AggregateUDF::from(basket::Basket::default()),
        AggregateUDF::from(candidate_counts::CandidateCounts::default()),
        AggregateUDF::from(customer_orders::CustomerOrders::default()),
        AggregateUDF::from(distinct_count::DistinctCount::default()),
        AggregateUDF::from(frequent_itemsets::FrequentItemsets::default()),
        AggregateUDF::from(item_counts::ItemCounts::default()),
        AggregateUDF::from(itemset_index::ItemsetIndex::default()),
        AggregateUDF::from(itemsets_of_ranks::ItemsetsOfRanks::default()),
        AggregateUDF::from(maximal_sets::MaximalSets::default()),
        AggregateUDF::from(part_pair_counts::PartPairCounts::default()),
        AggregateUDF::from(part_sum::PartSum::default()),
        AggregateUDF::from(quantile_edges::QuantileEdges::default()),
        AggregateUDF::from(value_counts::ValueCounts::default()),
    ]
}

/// The value of a parameter that is a literal whole number.
fn literal_count(expression: &Arc<dyn PhysicalExpr>) -> Option<i64> {
    match expression.downcast_ref::<Literal>()?.value() {
        ScalarValue::Int64(value) => *value,
        _ => None,
    }
}

/// A list of all values.
fn one_list(values: ArrayRef) -> ScalarValue {
    ScalarValue::List(Arc::new(SingleRowListArrayBuilder::new(values).build_list_array()))
}

/// Whether an aggregate's `FILTER` lets a row in; a null is not true.
fn passes(filter: Option<&BooleanArray>, row: usize) -> bool {
    filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row))
}

/// Offsets of a list array, whose values must number no more than `i32::MAX`.
fn list_offsets(offsets: &[usize]) -> Result<OffsetBuffer<i32>> {
    let offsets: Vec<i32> =
        offsets.iter().map(|offset| i32::try_from(*offset)).collect::<Result<_, _>>().map_err(|_| {
            exec_datafusion_err!(
                "more than {} values in one batch of lists; raise engine.target_partitions",
                i32::MAX
            )
        })?;
    Ok(OffsetBuffer::new(offsets.into()))
}

/// Where a row's values stand in a list array; nowhere when the row is null.
fn list_range(lists: &ListArray, row: usize) -> std::ops::Range<usize> {
    if lists.is_null(row) {
        return 0..0;
    }
    lists.value_offsets()[row] as usize..lists.value_offsets()[row + 1] as usize
}

/// The items of each basket in an argument; a null is an empty one.
fn baskets<'a>(function: &str, argument: &'a ListArray) -> Result<Vec<&'a [u32]>> {
    let baskets: Vec<&[u32]> = items_of(argument, 0..argument.len()).collect();
    let is_basket = |basket: &&[u32]| basket.is_sorted_by(|a, b| a < b);
    if argument.values().null_count() > 0 || !baskets.iter().all(is_basket) {
        return Err(no_basket(function));
    }
    Ok(baskets)
}

/// The values of some rows of lists, unchecked; a null is an empty list.
fn items_of(lists: &ListArray, rows: std::ops::Range<usize>) -> impl Iterator<Item = &[u32]> {
    let items = lists.values().as_primitive::<UInt32Type>().values();
    let bounds = lists.value_offsets()[rows.start..=rows.end].windows(2);
    rows.zip(bounds).map(move |(row, bounds)| {
        if lists.is_null(row) { &[] } else { &items[bounds[0] as usize..bounds[1] as usize] }
    })
}

fn no_basket(function: &str) -> DataFusionError {
    exec_datafusion_err!("{function} takes items in ascending order without repetition, as basket makes them")
}

/// The type of a basket argument, a list of item codes, or the reason why an argument is none.
fn as_basket_type(function: &str, argument: &DataType) -> Result<DataType> {
    match argument {
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(_, _) | DataType::Null => {
            Ok(DataType::List(Arc::new(Field::new_list_field(DataType::UInt32, true))))
        }
        other => plan_err!("{function} takes a list of item codes, not {other}"),
    }
}
