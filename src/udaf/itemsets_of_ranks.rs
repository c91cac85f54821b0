//! `itemsets_of_ranks(baskets, first_item, end_item, ...)`: the frequent itemsets whose rarest item lies in a range of ranks.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, ListArray, UInt32Array};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, UInt32Type};
use datafusion::common::{Result, exec_datafusion_err, plan_datafusion_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, DocSection, Documentation, EmitTo, GroupsAccumulator, Signature,
    Volatility,
};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Literal;

use super::itemset_lists::{items_field, itemset_field, itemset_lists};
use super::single_group::SingleGroup;
use super::word_literal;
use super::{as_basket_type, items_of, list_offsets, list_range, literal_count, no_basket, passes};
use crate::error::{Error, ErrorKind};
use crate::mining::{Collect, Exclusions, Thresholds, Transactions, mine};

const NAME: &str = "itemsets_of_ranks";

static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        DocSection::default(),
        "The frequent itemsets whose rarest item, the highest code, lies in a range, as a list of structs of items (in no \
         order) and support_count: one group of items of parallel FP-growth. Every basket must be given; its items up to the \
         end of the range are kept if one of them lies in the range: 4 bytes of memory for each and 8 for the basket. More \
         itemsets than the limit are an error.",
        "itemsets_of_ranks(baskets, first_item, end_item, min_support_count, max_length, max_itemsets[, exclusions])",
    )
    .with_argument(
        "baskets",
        "A list of baskets: ascending item codes without repetition, the most frequent item having code 0.",
    )
    .with_argument("first_item", "The first code of the range, the same for all rows of a group.")
    .with_argument("end_item", "The code after the last of the range, the same for all rows of a group.")
    .with_argument("min_support_count", "A literal: the least number of baskets of an itemset.")
    .with_argument("max_length", "A literal: the most items of an itemset; 0 for no limit.")
    .with_argument("max_itemsets", "A literal: the most itemsets.")
    .with_argument(
        "exclusions",
        "A literal that the driver encodes: pairs of codes; itemsets that hold both of a pair are left out.",
    )
    .build()
});

#[derive(Debug, PartialEq, Eq, Hash)]
pub struct ItemsetsOfRanks {
    signature: Signature,
}

impl Default for ItemsetsOfRanks {
    fn default() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for ItemsetsOfRanks {
    fn name(&self) -> &'static str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let [DataType::List(basket), _, _, _, _, _, exclusions @ ..] = arg_types else {
            return plan_err!("{NAME} takes a list of baskets, five numbers and perhaps exclusions");
        };
        let basket = as_basket_type(NAME, basket.data_type())?;
        let mut types = vec![DataType::List(Arc::new(Field::new_list_field(basket, true)))];
        types.extend([DataType::UInt32, DataType::UInt32]);
        types.extend([DataType::Int64, DataType::Int64, DataType::Int64]);
        types.extend(exclusions.iter().map(|_| word_literal::data_type()));
        Ok(types)
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(itemset_field()))
    }

    fn is_nullable(&self) -> bool {
        false
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let field =
            |name, data_type| Arc::new(Field::new(format_state_name(args.name, name), data_type, true));
        Ok(vec![
            field("first_item", DataType::UInt32),
            field("end_item", DataType::UInt32),
            field("transactions", DataType::List(items_field())),
        ])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let mut groups = RankGroups::try_new(&args)?;
        groups.grow(1);
        Ok(Box::new(SingleGroup(groups)))
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(RankGroups::try_new(&args)?))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&DOCUMENTATION)
    }
}

/// A range of ranks and the parts of the baskets that matter for it.
#[derive(Debug, Clone, Default)]
struct RankGroup {
    ranks: Range<u32>,
    /// The baskets' items up to the end of the range, where one lies in the range; at least two items.
    prefixes: Transactions,
    /// For each item of the range how many baskets hold it and none that is more frequent.
    alone: Vec<u32>,
}

impl RankGroup {
    /// Keeps a basket whose last item is not before the range. The range that the last item lies in keeps all of it, and
    /// checks it.
    fn add(&mut self, items: &[u32]) -> Result<()> {
        let Range { start, end } = self.ranks;
        let kept = match items.last() {
            Some(last) if *last < end => items,
            _ => &items[..items.partition_point(|item| *item < end)],
        };
        match kept {
            [item] if *item >= start => {
                let alone = &mut self.alone[(item - start) as usize];
                *alone = alone.saturating_add(1);
            }
            [.., item] if *item >= start => {
                if !kept.is_sorted_by(|a, b| a < b) {
                    return Err(no_basket(NAME));
                }
                self.prefixes.push(kept, 1);
            }
            _ => {}
        }
        Ok(())
    }

    /// All prefixes, those of one item too, each of which many baskets share.
    fn transactions(mut self) -> Transactions {
        for (item, &alone) in self.ranks.zip(&self.alone) {
            if alone > 0 {
                self.prefixes.push(&[item], alone);
            }
        }
        self.prefixes
    }

    fn size(&self) -> usize {
        self.prefixes.size() + self.alone.capacity() * size_of::<u32>()
    }
}

#[derive(Debug)]
struct RankGroups {
    min_support_count: i64,
    max_length: usize,
    max_itemsets: usize,
    exclusions: Exclusions,
    groups: Vec<RankGroup>,
    /// Bytes of all prefixes.
    bytes: usize,
}

impl RankGroups {
    fn try_new(args: &AccumulatorArgs) -> Result<Self> {
        let literal = |argument: usize, what: &str| {
            literal_count(&args.exprs[argument]).ok_or_else(|| {
                plan_datafusion_err!("{NAME}: {what} must be a whole number, written as a literal")
            })
        };
        let (max_length, max_itemsets) = (literal(4, "max_length")?, literal(5, "max_itemsets")?);
        let no_limit =
            |limit: i64| usize::try_from(limit).ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX);
        Ok(Self {
            min_support_count: literal(3, "min_support_count")?.max(1),
            max_length: no_limit(max_length),
            max_itemsets: no_limit(max_itemsets),
            exclusions: args.exprs.get(6).map_or(Ok(Exclusions::default()), exclusions)?,
            groups: Vec::new(),
            bytes: 0,
        })
    }

    fn grow(&mut self, groups: usize) {
        self.groups.resize(groups, RankGroup::default());
    }

    /// Changes a group of a range of ranks and counts what memory it takes.
    fn change(
        &mut self,
        group: usize,
        ranks: Range<u32>,
        change: impl FnOnce(&mut RankGroup) -> Result<()>,
    ) -> Result<()> {
        let group = &mut self.groups[group];
        self.bytes -= group.size();
        // a state without any basket does not know its range
        if !ranks.is_empty() {
            group.alone.resize(ranks.len(), 0);
            group.ranks = ranks;
        }
        change(group)?;
        self.bytes += group.size();
        Ok(())
    }

    fn take(&mut self, emit_to: EmitTo) -> Vec<RankGroup> {
        let taken = emit_to.take_needed(&mut self.groups);
        self.bytes = self.groups.iter().map(RankGroup::size).sum();
        taken
    }
}

/// The pairs of a literal argument.
fn exclusions(argument: &Arc<dyn PhysicalExpr>) -> Result<Exclusions> {
    let Some(literal) = argument.downcast_ref::<Literal>() else {
        return plan_err!("{NAME}: exclusions must be a literal");
    };
    let words = word_literal::decode(literal.value())?;
    let (pairs, rest) = words.as_chunks::<2>();
    if rest.is_empty() { Ok(Exclusions::new(pairs)) } else { plan_err!("{NAME}: exclusions are pairs") }
}

fn by_length(found: &Collect) -> BTreeMap<usize, u64> {
    let mut by_length = BTreeMap::new();
    for (items, _) in found.iter() {
        *by_length.entry(items.len()).or_default() += 1;
    }
    by_length
}

/// The error that says how far the search came and what to do.
#[must_use]
pub fn too_many_itemsets(limit: u64, by_length: &BTreeMap<usize, u64>) -> Error {
    let found: Vec<String> =
        by_length.iter().map(|(length, itemsets)| format!("{itemsets} of length {length}")).collect();
    Error::new(
        ErrorKind::Limit,
        format!(
            "more itemsets are frequent than rules.max_itemsets = {limit}: up to here {}; raise it, or rules.min_support, or \
             lower rules.max_length",
            found.join(", ")
        ),
    )
}

impl GroupsAccumulator for RankGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.grow(total_num_groups);
        let lists = values[0].as_list::<i32>();
        let baskets = lists.values().as_list::<i32>();
        let [first, end] = [1, 2].map(|column| values[column].as_primitive::<UInt32Type>());
        for (row, &group) in group_indices.iter().enumerate() {
            if passes(opt_filter, row) {
                self.change(group, first.value(row)..end.value(row), |group| {
                    items_of(baskets, list_range(lists, row)).try_for_each(|items| group.add(items))
                })?;
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
        self.grow(total_num_groups);
        let [first, end] = [0, 1].map(|column| values[column].as_primitive::<UInt32Type>());
        let lists = values[2].as_list::<i32>();
        let words = lists.values().as_primitive::<UInt32Type>().values();
        for (row, &group) in group_indices.iter().enumerate() {
            self.change(group, first.value(row)..end.value(row), |group| {
                group.prefixes.extend(&words[list_range(lists, row)]);
                Ok(())
            })?;
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let mut found = Collect::new(self.max_itemsets);
        let mut ends = vec![0];
        for group in self.take(emit_to) {
            let ranks = group.ranks.clone();
            let prefixes = group.transactions();
            let baskets: u64 = prefixes.iter().map(|(_, weight)| u64::from(weight)).sum();
            if baskets >= u64::from(u32::MAX) {
                return Err(exec_datafusion_err!("{NAME} counts fewer than {} baskets", u32::MAX));
            }
            // no itemset is in so many baskets
            if let Ok(min_count) = u32::try_from(self.min_support_count) {
                let thresholds = Thresholds { min_count, max_length: self.max_length };
                if mine(&prefixes, ranks, thresholds, &self.exclusions, &mut found).is_break() {
                    return Err(too_many_itemsets(self.max_itemsets as u64, &by_length(&found)).into());
                }
            }
            ends.push(found.len());
        }
        let Collect { items, ends: item_ends, supports, .. } = found;
        let starts: Vec<usize> = std::iter::once(0).chain(item_ends).collect();
        let supports = supports.into_iter().map(|support| Some(i64::from(support))).collect();
        itemset_lists(items, &starts, supports, &ends)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let groups: Vec<(Range<u32>, Transactions)> =
            self.take(emit_to).into_iter().map(|group| (group.ranks.clone(), group.transactions())).collect();
        let bound = |bound: fn(&Range<u32>) -> u32| -> ArrayRef {
            Arc::new(groups.iter().map(|group| Some(bound(&group.0))).collect::<UInt32Array>())
        };
        Ok(vec![
            bound(|ranks| ranks.start),
            bound(|ranks| ranks.end),
            lists(groups.into_iter().map(|(_, prefixes)| prefixes))?,
        ])
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let chunks = values[0].as_list::<i32>();
        let baskets = chunks.values().as_list::<i32>();
        let kept = (0..chunks.len()).map(|row| {
            let mut transactions = Transactions::default();
            if passes(opt_filter, row) {
                items_of(baskets, list_range(chunks, row)).for_each(|items| transactions.push(items, 1));
            }
            transactions
        });
        Ok(vec![Arc::clone(&values[1]), Arc::clone(&values[2]), lists(kept)?])
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.groups.capacity() * size_of::<RankGroup>() + self.bytes
    }
}

/// The words of each row's transactions.
fn lists(rows: impl Iterator<Item = Transactions>) -> Result<ArrayRef> {
    let rows: Vec<Transactions> = rows.collect();
    let mut words: Vec<u32> = Vec::with_capacity(rows.iter().map(|row| row.words().len()).sum());
    let mut offsets = vec![0];
    for row in rows {
        words.extend_from_slice(row.words());
        offsets.push(words.len());
    }
    let words = Arc::new(UInt32Array::from(words));
    Ok(Arc::new(ListArray::try_new(items_field(), list_offsets(&offsets)?, words, None)?))
}
