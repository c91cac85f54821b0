//! `part_pair_counts(items)`: how many baskets hold each pair of items, in parts that a later aggregation adds up.

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

pub const PART_PAIR_COUNTS: &str = "part_pair_counts";

static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        DocSection::default(),
        "The pairs of items and how many baskets hold each, as a list of structs of first, second and support_count, in no order. In \
         parts: a query whose aggregates are all of parts may give several rows, whose counts of a pair add up. Takes 8 bytes of \
         memory for each pair of the first 4,096 item codes that occur and some 20 for each other pair, up to some 256 MiB \
         for each partition, where the part ends.",
        "part_pair_counts(items)",
    )
    .with_argument("items", "A basket: ascending item codes without repetition.")
    .with_sql_example(
        "SELECT pair['first'], pair['second'], sum(pair['support_count']) FROM (SELECT unnest(part_pair_counts(items)) AS pair FROM basket) \
         GROUP BY pair['first'], pair['second']",
    )
    .build()
});

#[derive(Debug, PartialEq, Eq, Hash)]
pub struct PartPairCounts {
    signature: Signature,
}

impl Default for PartPairCounts {
    fn default() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for PartPairCounts {
    fn name(&self) -> &'static str {
        PART_PAIR_COUNTS
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let [items] = arg_types else {
            return plan_err!("{PART_PAIR_COUNTS} takes items, not {} arguments", arg_types.len());
        };
        Ok(vec![as_basket_type(PART_PAIR_COUNTS, items)?])
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
        Ok(vec![list("pairs", DataType::UInt64), list("counts", DataType::Int64)])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if args.is_distinct {
            return plan_err!("{PART_PAIR_COUNTS} takes no DISTINCT");
        }
        Ok(Box::new(PairsAccumulator::default()))
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
struct PairsAccumulator {
    triangle: Vec<i64>,
    others: HashMap<u64, i64>,
}

impl PairsAccumulator {
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

    /// The pairs seen, with their counts.
    fn pairs(&self) -> impl Iterator<Item = (u64, i64)> {
        let rows = (1..TRIANGLE_ITEMS).take_while(|second| triangle_row(*second) < self.triangle.len());
        let triangle = rows.flat_map(|second| (0..second).map(move |first| (first, second)));
        triangle
            .map(|(first, second)| {
                (pack(first, second), self.triangle[triangle_row(second) + first as usize])
            })
            .filter(|(_, count)| *count > 0)
            .chain(self.others.iter().map(|(pair, count)| (*pair, *count)))
    }
}

impl Accumulator for PairsAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for basket in baskets(PART_PAIR_COUNTS, values[0].as_list::<i32>())? {
            for (position, &second) in basket.iter().enumerate() {
                for &first in &basket[..position] {
                    self.add(first, second, 1);
                }
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let pairs = states[0].as_list::<i32>();
        let counts = states[1].as_list::<i32>();
        let pair_values = pairs.values().as_primitive::<UInt64Type>();
        let count_values = counts.values().as_primitive::<Int64Type>();
        for row in 0..pairs.len() {
            for (pair, count) in list_range(pairs, row).zip(list_range(counts, row)) {
                let (first, second) = unpack(pair_values.value(pair));
                if first >= second {
                    return exec_err!("{PART_PAIR_COUNTS} is to merge a state that it did not make");
                }
                self.add(first, second, count_values.value(count));
            }
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let firsts: UInt32Array = self.pairs().map(|(pair, _)| Some(unpack(pair).0)).collect();
        let seconds: UInt32Array = self.pairs().map(|(pair, _)| Some(unpack(pair).1)).collect();
        let counts: Int64Array = self.pairs().map(|(_, count)| Some(count)).collect();
        let columns: Vec<ArrayRef> = vec![Arc::new(firsts), Arc::new(seconds), Arc::new(counts)];
        let rows = StructArray::try_new(pair_fields(), columns, None)?;
        Ok(one_list(Arc::new(rows)))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let pairs: UInt64Array = self.pairs().map(|(pair, _)| Some(pair)).collect();
        let counts: Int64Array = self.pairs().map(|(_, count)| Some(count)).collect();
        Ok(vec![one_list(Arc::new(pairs)), one_list(Arc::new(counts))])
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
