//! Itemsets with their supports as values: lists of structs of items and `support_count`, one list a group.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, ListArray, StructArray, UInt32Array};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::common::Result;

use super::list_offsets;

/// The field of a list of item codes.
pub fn items_field() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::UInt32, true))
}

fn itemset_fields() -> Fields {
    Fields::from(vec![
        Field::new("items", DataType::List(items_field()), false),
        Field::new("support_count", DataType::Int64, false),
    ])
}

/// The field of a list of itemsets.
pub fn itemset_field() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Struct(itemset_fields()), true))
}

/// Lists of itemsets: list `l` has the itemsets from `offsets[l]` to `offsets[l + 1]`, itemset `s` the items from
/// `item_offsets[s]` to `item_offsets[s + 1]`.
pub fn itemset_lists(
    items: Vec<u32>,
    item_offsets: &[usize],
    supports: Int64Array,
    offsets: &[usize],
) -> Result<ArrayRef> {
    let items = ListArray::try_new(
        items_field(),
        list_offsets(item_offsets)?,
        Arc::new(UInt32Array::from(items)),
        None,
    )?;
    let itemsets = StructArray::try_new(itemset_fields(), vec![Arc::new(items), Arc::new(supports)], None)?;
    Ok(Arc::new(ListArray::try_new(itemset_field(), list_offsets(offsets)?, Arc::new(itemsets), None)?))
}
