//! `maximal_sets(items, support_count)`: the itemsets of a group that no other itemset of the group contains.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, DocSection, Documentation, EmitTo, GroupsAccumulator, Signature,
    Volatility,
};

use super::itemset_lists::{itemset_field, itemset_lists};
use super::single_group::SingleGroup;
use super::{as_basket_type, baskets, list_range, passes};
use crate::mining::maximal;

const NAME: &str = "maximal_sets";

static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        DocSection::default(),
        "The itemsets of a group that no other itemset of the group contains, as a list of structs of items and support_count: \
         the maximal ones, or the closed ones in groups of the same support. Takes 4 bytes of memory for each item and 20 for \
         each itemset.",
        "maximal_sets(items, support_count)",
    )
    .with_argument("items", "An itemset: ascending item codes without repetition, each itemset once.")
    .with_argument("support_count", "How many baskets hold it.")
    .with_sql_example("SELECT unnest(maximal_sets(items, support_count)) FROM itemset_support GROUP BY support_count")
    .build()
});

#[derive(Debug, PartialEq, Eq, Hash)]
pub struct MaximalSets {
    signature: Signature,
}

impl Default for MaximalSets {
    fn default() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for MaximalSets {
    fn name(&self) -> &'static str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let [items, _] = arg_types else {
            return plan_err!("{NAME} takes items and support_count, not {} arguments", arg_types.len());
        };
        Ok(vec![as_basket_type(NAME, items)?, DataType::Int64])
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(itemset_field()))
    }

    fn is_nullable(&self) -> bool {
        false
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(args.name, DataType::List(itemset_field()), true))])
    }

    fn accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(SingleGroup(GroupedItemsets { number: 1, ..GroupedItemsets::default() })))
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(GroupedItemsets::default()))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&DOCUMENTATION)
    }
}

/// Itemsets with their group and support, in flat vectors.
#[derive(Debug, Default)]
struct GroupedItemsets {
    items: Vec<u32>,
    /// Where each itemset ends in `items`.
    ends: Vec<usize>,
    groups: Vec<u32>,
    supports: Vec<i64>,
    /// How many groups there are.
    number: usize,
}

impl GroupedItemsets {
    fn push(&mut self, group: usize, items: &[u32], support: i64) {
        self.items.extend_from_slice(items);
        self.ends.push(self.items.len());
        self.groups.push(group as u32);
        self.supports.push(support);
    }

    fn itemset(&self, place: usize) -> &[u32] {
        let start = if place == 0 { 0 } else { self.ends[place - 1] };
        &self.items[start..self.ends[place]]
    }

    /// For each group to emit where its itemsets stand; the others stay.
    fn take(&mut self, emit_to: EmitTo) -> (Self, Vec<Vec<usize>>) {
        let emitted = match emit_to {
            EmitTo::All => self.number,
            EmitTo::First(first) => first,
        };
        let all = std::mem::take(self);
        self.number = all.number - emitted;
        let mut by_group = vec![Vec::new(); emitted];
        for (place, group) in all.groups.iter().enumerate() {
            match by_group.get_mut(*group as usize) {
                Some(places) => places.push(place),
                None => self.push(*group as usize - emitted, all.itemset(place), all.supports[place]),
            }
        }
        (all, by_group)
    }

    /// Lists of itemsets, one a group.
    fn lists(&self, by_group: &[Vec<usize>]) -> Result<ArrayRef> {
        let mut items = Vec::new();
        let mut item_offsets = vec![0];
        let mut supports = Vec::new();
        let mut offsets = vec![0];
        for places in by_group {
            for &place in places {
                items.extend_from_slice(self.itemset(place));
                item_offsets.push(items.len());
                supports.push(self.supports[place]);
            }
            offsets.push(supports.len());
        }
        itemset_lists(items, &item_offsets, supports.into(), &offsets)
    }
}

impl GroupsAccumulator for GroupedItemsets {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.number = total_num_groups;
        let itemsets = baskets(NAME, values[0].as_list::<i32>())?;
        let supports = values[1].as_primitive::<Int64Type>().values();
        for (row, &group) in group_indices.iter().enumerate() {
            if values[0].is_valid(row) && passes(opt_filter, row) {
                self.push(group, itemsets[row], supports[row]);
            }
        }
        Ok(())
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        self.number = total_num_groups;
        let lists = values[0].as_list::<i32>();
        let itemsets = lists.values().as_struct();
        let items = baskets(NAME, itemsets.column(0).as_list::<i32>())?;
        let supports = itemsets.column(1).as_primitive::<Int64Type>().values();
        for (row, &group) in group_indices.iter().enumerate() {
            for place in list_range(lists, row) {
                self.push(group, items[place], supports[place]);
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let (all, mut by_group) = self.take(emit_to);
        for places in &mut by_group {
            let itemsets: Vec<&[u32]> = places.iter().map(|place| all.itemset(*place)).collect();
            *places = maximal(&itemsets).into_iter().map(|kept| places[kept]).collect();
        }
        all.lists(&by_group)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let (all, by_group) = self.take(emit_to);
        Ok(vec![all.lists(&by_group)?])
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let mut rows = Self::default();
        let groups: Vec<usize> = (0..values[0].len()).collect();
        rows.update_batch(values, &groups, opt_filter, groups.len())?;
        rows.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        size_of_val(self)
            + (self.items.capacity() + self.groups.capacity()) * size_of::<u32>()
            + self.ends.capacity() * size_of::<usize>()
            + self.supports.capacity() * size_of::<i64>()
    }
}
