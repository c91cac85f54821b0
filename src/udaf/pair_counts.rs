//! `pair_counts(items, min_count)`: the pairs of items that at least so many baskets hold.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array, StructArray, UInt32Array, UInt64Array};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields, Int64Type, UInt64Type};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, DocSection, Documentation, Signature, Volatility,
};
use hashbrown::HashMap;

use super::{as_basket_type, baskets, list_range, one_list};

/// Pairs of items below this code are counted in a triangle (64 MiB when full), others in a hash map.
const TRIANGLE_ITEMS: u32 = 4096;

static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        DocSection::default(),
        "The pairs of items that at least min_count baskets hold, as a list of structs of first, second and \
         support_count, in order. Takes 8 bytes of memory for each pair of the first 4,096 item codes that occur and \
         some 20 for each other pair seen.",
        "pair_counts(items, min_count)",
    )
    .with_argument("items", "A basket: ascending item codes without repetition.")
    .with_argument("min_count", "A literal: the least number of baskets.")
    .with_sql_example("SELECT unnest(pair_counts(items, 100)) FROM basket")
    .build()
});

#[derive(Debug, PartialEq, Eq, Hash)]
pub struct PairCounts {
    signature: Signature,
}

impl Default for PairCounts {
    fn default() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for PairCounts {
    fn name(&self) -> &'static str {
        "pair_counts"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let [items, _] = arg_types else {
            return plan_err!("pair_counts takes items and min_count, not {} arguments", arg_types.len());
        };
        Ok(vec![as_basket_type("pair_counts", items)?, DataType::Int64])
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(Arc::new(Field::new_list_field(DataType::Struct(pair_fields()), true))))
    }

    fn is_nullable(&self) -> bool {
        false
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let list = |name, data_type| {
            let values = Arc::new(Field::new_list_field(data_type, true));
            Arc::new(Field::new(format_state_name(args.name, name), DataType::List(values), true))
        };
        Ok(vec![
            Arc::new(Field::new(format_state_name(args.name, "min_count"), DataType::Int64, true)),
            list("pairs", DataType::UInt64),
            list("counts", DataType::Int64),
        ])
    }

    fn accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(PairCountsAccumulator::default()))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&DOCUMENTATION)
    }
}

fn pair_fields() -> Fields {
    Fields::from(vec![
        Field::new("first", DataType::UInt32, false),
        Field::new("second", DataType::UInt32, false),
        Field::new("support_count", DataType::Int64, false),
    ])
}

/// Counts by pair. The triangle holds pair (first, second) at `second * (second - 1) / 2 + first`, so that it grows
/// with the highest item seen.
#[derive(Debug, Default)]
struct PairCountsAccumulator {
    min_count: Option<i64>,
    triangle: Vec<i64>,
    others: HashMap<u64, i64>,
}

impl PairCountsAccumulator {
    fn add(&mut self, first: u32, second: u32, count: i64) {
        if second < TRIANGLE_ITEMS {
            let row = triangle_row(second);
            if row + second as usize > self.triangle.len() {
                self.triangle.resize(triangle_row(second + 1), 0);
            }
            self.triangle[row + first as usize] += count;
        } else {
            *self.others.entry(pack(first, second)).or_default() += count;
        }
    }

    /// The pairs counted at least so often, in order, with their counts.
    fn pairs(&self, at_least: i64) -> Vec<(u64, i64)> {
        let rows = (1..TRIANGLE_ITEMS).take_while(|second| triangle_row(*second) < self.triangle.len());
        let triangle = rows.flat_map(|second| (0..second).map(move |first| (first, second)));
        let mut pairs: Vec<(u64, i64)> = triangle
            .map(|(first, second)| {
                (pack(first, second), self.triangle[triangle_row(second) + first as usize])
            })
            .chain(self.others.iter().map(|(pair, count)| (*pair, *count)))
            .filter(|(_, count)| *count >= at_least)
            .collect();
        pairs.sort_unstable();
        pairs
    }
}

impl Accumulator for PairCountsAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let min_counts = values[1].as_primitive::<Int64Type>();
        if !min_counts.is_empty() && min_counts.is_valid(0) {
            self.min_count = Some(min_counts.value(0));
        }
        for basket in baskets("pair_counts", values[0].as_list::<i32>())? {
            for (position, &second) in basket.iter().enumerate() {
                for &first in &basket[..position] {
                    self.add(first, second, 1);
                }
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let min_counts = states[0].as_primitive::<Int64Type>();
        let pairs = states[1].as_list::<i32>();
        let counts = states[2].as_list::<i32>();
        let pair_values = pairs.values().as_primitive::<UInt64Type>();
        let count_values = counts.values().as_primitive::<Int64Type>();
        for row in 0..pairs.len() {
            if min_counts.is_valid(row) {
                self.min_count = Some(min_counts.value(row));
            }
            for (pair, count) in list_range(pairs, row).zip(list_range(counts, row)) {
                let (first, second) = unpack(pair_values.value(pair));
                if first >= second {
                    return exec_err!("pair_counts is to merge a state that it did not make");
                }
                self.add(first, second, count_values.value(count));
            }
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let pairs = self.pairs(self.min_count.unwrap_or(1).max(1));
        let firsts: UInt32Array = pairs.iter().map(|(pair, _)| Some(unpack(*pair).0)).collect();
        let seconds: UInt32Array = pairs.iter().map(|(pair, _)| Some(unpack(*pair).1)).collect();
        let counts: Int64Array = pairs.iter().map(|(_, count)| Some(*count)).collect();
        let columns: Vec<ArrayRef> = vec![Arc::new(firsts), Arc::new(seconds), Arc::new(counts)];
        let rows = StructArray::try_new(pair_fields(), columns, None)?;
        Ok(one_list(Arc::new(rows)))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let pairs = self.pairs(1);
        let keys: UInt64Array = pairs.iter().map(|(pair, _)| Some(*pair)).collect();
        let counts: Int64Array = pairs.iter().map(|(_, count)| Some(*count)).collect();
        Ok(vec![ScalarValue::Int64(self.min_count), one_list(Arc::new(keys)), one_list(Arc::new(counts))])
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.triangle.capacity() * size_of::<i64>() + self.others.allocation_size()
    }
}

fn triangle_row(second: u32) -> usize {
    let second = second as usize;
    second * second.saturating_sub(1) / 2
}

fn pack(first: u32, second: u32) -> u64 {
    (u64::from(first) << 32) | u64::from(second)
}

#[allow(clippy::cast_possible_truncation)] // each half is one item
fn unpack(pair: u64) -> (u32, u32) {
    ((pair >> 32) as u32, pair as u32)
}
