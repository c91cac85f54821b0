//! `frequent_itemsets(basket, min_support [, max_length])`: the frequent itemsets of any table of baskets, for queries by hand.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int64Array, ListArray, ListBuilder, StringBuilder, StructArray,
    UInt32Array,
};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields, UInt32Type};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, DocSection, Documentation, Signature, Volatility,
};
use datafusion::physical_expr::expressions::Literal;

use super::interner::Interner;
use super::{list_range, one_list};
use crate::mining::{Collect, Exclusions, MinSupport, Thresholds, Transactions, mine};

const NAME: &str = "frequent_itemsets";

/// More itemsets than this are an error.
const MOST_ITEMSETS: usize = 10_000_000;

static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        DocSection::default(),
        "The frequent itemsets of a group's baskets, as a list of structs of itemset, support_count and support, the most frequent \
         first. A basket counts an item once, and an empty one counts as a basket; a null is none. Takes 4 bytes of memory for \
         each item of each basket and 8 for the basket. More than 10,000,000 itemsets are an error.",
        "frequent_itemsets(basket, min_support [, max_length])",
    )
    .with_argument("basket", "A list of items, in any order.")
    .with_argument("min_support", "A literal: the least share of the baskets, in (0, 1], or as a whole number the least number of them.")
    .with_argument("max_length", "A literal: the most items of an itemset; no limit without it.")
    .with_sql_example(
        "SELECT unnest(frequent_itemsets(basket, 0.01)) FROM (SELECT array_agg(item_id) AS basket FROM line GROUP BY order_id)",
    )
    .build()
});

#[derive(Debug, PartialEq, Eq, Hash)]
pub struct FrequentItemsets {
    signature: Signature,
}

impl Default for FrequentItemsets {
    fn default() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

fn list_of(data_type: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(data_type, true)))
}

fn itemset_fields() -> Fields {
    Fields::from(vec![
        Field::new("itemset", list_of(DataType::Utf8), false),
        Field::new("support_count", DataType::Int64, false),
        Field::new("support", DataType::Float64, false),
    ])
}

impl AggregateUDFImpl for FrequentItemsets {
    fn name(&self) -> &'static str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let (basket, min_support, max_length) = match arg_types {
            [basket, min_support] => (basket, min_support, None),
            [basket, min_support, max_length] => (basket, min_support, Some(max_length)),
            _ => return plan_err!("{NAME} takes a basket, min_support and perhaps max_length"),
        };
        if !matches!(basket, DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(_, _)) {
            return plan_err!("{NAME} takes a list of items, not {basket}");
        }
        let min_support = if min_support.is_integer() { DataType::Int64 } else { DataType::Float64 };
        let mut types = vec![list_of(DataType::Utf8), min_support];
        types.extend(max_length.map(|_| DataType::Int64));
        Ok(types)
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(list_of(DataType::Struct(itemset_fields())))
    }

    fn is_nullable(&self) -> bool {
        false
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let field =
            |name, data_type| Arc::new(Field::new(format_state_name(args.name, name), data_type, true));
        Ok(vec![
            field("baskets", DataType::Int64),
            field("ids", list_of(DataType::Utf8)),
            field("transactions", list_of(DataType::UInt32)),
        ])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let literal = |place: usize| {
            args.exprs
                .get(place)
                .and_then(|expression| Some(expression.downcast_ref::<Literal>()?.value().clone()))
        };
        let min_support = match literal(1) {
            Some(ScalarValue::Int64(Some(count))) if count >= 1 => MinSupport::Count(count),
            Some(ScalarValue::Float64(Some(share))) if share > 0.0 && share <= 1.0 => {
                MinSupport::Share(share)
            }
            _ => {
                return plan_err!(
                    "{NAME}: min_support must be a literal in (0, 1], or a whole number of baskets"
                );
            }
        };
        let max_length = match (args.exprs.len(), literal(2)) {
            (2, _) => usize::MAX,
            (_, Some(ScalarValue::Int64(Some(length)))) if length >= 1 => length as usize,
            _ => return plan_err!("{NAME}: max_length must be a literal whole number of at least 1"),
        };
        Ok(Box::new(FrequentItemsetsAccumulator {
            min_support,
            max_length,
            ids: Interner::default(),
            baskets: 0,
            transactions: Transactions::default(),
        }))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&DOCUMENTATION)
    }
}

/// The baskets by codes of their items, numbered as they come.
#[derive(Debug)]
struct FrequentItemsetsAccumulator {
    min_support: MinSupport,
    max_length: usize,
    ids: Interner,
    baskets: i64,
    transactions: Transactions,
}

impl FrequentItemsetsAccumulator {
    fn push(&mut self, mut items: Vec<u32>, weight: u32) {
        items.sort_unstable();
        items.dedup();
        if !items.is_empty() {
            self.transactions.push(&items, weight);
        }
    }

    /// The codes of the frequent items, the most frequent first, equally frequent ones by their ids.
    fn ranked(&self, min_count: u32) -> Vec<u32> {
        let mut counts = vec![0_u64; self.ids.len()];
        for (items, weight) in self.transactions.iter() {
            for item in items {
                counts[*item as usize] += u64::from(weight);
            }
        }
        let mut ranked: Vec<u32> = (0..self.ids.len() as u32)
            .filter(|code| counts[*code as usize] >= u64::from(min_count))
            .collect();
        ranked.sort_by_key(|code| (std::cmp::Reverse(counts[*code as usize]), self.ids.get(*code).to_vec()));
        ranked
    }

    fn mined(&self, ranked: &[u32], min_count: u32) -> Result<Collect> {
        let mut ranks = vec![u32::MAX; self.ids.len()];
        for (rank, code) in (0..).zip(ranked) {
            ranks[*code as usize] = rank;
        }
        let mut by_rank = Transactions::default();
        for (items, weight) in self.transactions.iter() {
            let mut items: Vec<u32> =
                items.iter().map(|item| ranks[*item as usize]).filter(|rank| *rank < u32::MAX).collect();
            items.sort_unstable();
            if !items.is_empty() {
                by_rank.push(&items, weight);
            }
        }
        let mut found = Collect::new(MOST_ITEMSETS);
        let thresholds = Thresholds { min_count, max_length: self.max_length };
        if mine(&by_rank, 0..ranked.len() as u32, thresholds, &Exclusions::default(), &mut found).is_break() {
            return exec_err!(
                "{NAME}: more than {MOST_ITEMSETS} itemsets are frequent; raise min_support or give a max_length"
            );
        }
        Ok(found)
    }
}

impl Accumulator for FrequentItemsetsAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let lists = values[0].as_list::<i32>();
        let items = lists.values().as_string::<i32>();
        for row in (0..lists.len()).filter(|row| lists.is_valid(*row)) {
            let present = list_range(lists, row).filter(|place| items.is_valid(*place));
            let codes = present.map(|place| self.ids.intern(items.value(place))).collect::<Result<_>>()?;
            self.push(codes, 1);
            self.baskets += 1;
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let baskets = states[0].as_primitive::<datafusion::arrow::datatypes::Int64Type>();
        let (ids, words) = (states[1].as_list::<i32>(), states[2].as_list::<i32>());
        for row in 0..baskets.len() {
            self.baskets += baskets.value(row);
            let ids = ids.value(row);
            let codes: Vec<u32> = ids
                .as_string::<i32>()
                .iter()
                .flatten()
                .map(|id| self.ids.intern(id))
                .collect::<Result<_>>()?;
            let mut other = Transactions::default();
            other.extend(words.value(row).as_primitive::<UInt32Type>().values());
            for (items, weight) in other.iter() {
                self.push(items.iter().map(|item| codes[*item as usize]).collect(), weight);
            }
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        // nothing is in more baskets than that
        let min_count = u32::try_from(self.min_support.count_of(self.baskets)).unwrap_or(u32::MAX);
        let ranked = self.ranked(min_count);
        let found = self.mined(&ranked, min_count)?;
        let mut itemsets = Vec::with_capacity(found.len());
        for (items, support) in found.iter() {
            let mut ids =
                items.iter().map(|rank| self.ids.text(ranked[*rank as usize])).collect::<Result<Vec<_>>>()?;
            ids.sort_unstable();
            itemsets.push((std::cmp::Reverse(support), ids));
        }
        itemsets.sort_unstable();
        let mut lists = ListBuilder::new(StringBuilder::new());
        for (_, ids) in &itemsets {
            for id in ids {
                lists.values().append_value(id);
            }
            lists.append(true);
        }
        let supports: Int64Array = itemsets.iter().map(|(support, _)| Some(i64::from(support.0))).collect();
        let shares: Float64Array =
            itemsets.iter().map(|(support, _)| Some(f64::from(support.0) / self.baskets as f64)).collect();
        let lists: ListArray = lists.finish();
        let columns: Vec<ArrayRef> = vec![Arc::new(lists), Arc::new(supports), Arc::new(shares)];
        Ok(one_list(Arc::new(StructArray::try_new(itemset_fields(), columns, None)?)))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![
            ScalarValue::from(self.baskets),
            one_list(self.ids.to_array()?),
            one_list(Arc::new(UInt32Array::from(self.transactions.words().to_vec()))),
        ])
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.ids.size() + self.transactions.size()
    }
}
