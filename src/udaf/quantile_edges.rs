//! `quantile_edges(value, bins)`: where the bins of quantiles end, exactly.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Array, Float64Array, Int64Array, StructArray,
};
use datafusion::arrow::datatypes::{
    DataType, Decimal128Type, Field, FieldRef, Fields, Float64Type, Int64Type,
};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, plan_datafusion_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, DocSection, Documentation, Signature, Volatility,
};

use super::{list_range, literal_count, one_list};

const NAME: &str = "quantile_edges";

/// The type of values in states, wide enough for all that are taken.
const KEY: DataType = DataType::Decimal128(38, 0);

/// Below this many values nothing is compacted.
const COMPACT_FROM: usize = 1 << 14;

static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        DocSection::default(),
        "Where the bins of quantiles end, as a struct of two lists of bins + 1 entries. With the n values sorted, x_0 to x_{n-1}, \
         and b bins, j = k (n - 1) div b and r = k (n - 1) mod b for k from 0 to b: values has x_j, edges has the edge of type 7 \
         (Hyndman and Fan 1996), ((b - r) x_j + r x_{j+1}) / b, as a double. A value lies above edge k exactly when it is above \
         x_j: the edge is below x_{j+1} unless that equals x_j. Exact at any size. Nulls are passed over; without values the \
         lists are empty. Takes 24 bytes of memory for each distinct value and up to 16 more for others.",
        "quantile_edges(value, bins)",
    )
    .with_argument("value", "A whole number, a decimal or a double.")
    .with_argument("bins", "A literal: how many bins.")
    .with_sql_example("SELECT quantile_edges(amount, 4)['edges'] FROM line")
    .build()
});

#[derive(Debug, PartialEq, Eq, Hash)]
pub struct QuantileEdges {
    signature: Signature,
}

impl Default for QuantileEdges {
    fn default() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for QuantileEdges {
    fn name(&self) -> &'static str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let [value, _] = arg_types else {
            return plan_err!("{NAME} takes a value and a number of bins, not {} arguments", arg_types.len());
        };
        let value = match value {
            whole if whole.is_integer() && *whole != DataType::UInt64 => DataType::Int64,
            DataType::Decimal128(_, _) => value.clone(),
            float if float.is_floating() || float.is_null() => DataType::Float64,
            other => return plan_err!("{NAME} takes a whole number, a decimal or a double, not {other}"),
        };
        Ok(vec![value, DataType::Int64])
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Struct(result_fields(&arg_types[0])))
    }

    fn is_nullable(&self) -> bool {
        false
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let list = |name, of: DataType| {
            let list = DataType::List(Arc::new(Field::new_list_field(of, true)));
            Arc::new(Field::new(format_state_name(args.name, name), list, true))
        };
        Ok(vec![list("values", KEY), list("counts", DataType::Int64)])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let bins = literal_count(&args.exprs[1]).filter(|bins| *bins > 0);
        let bins =
            bins.ok_or_else(|| plan_datafusion_err!("{NAME}: bins must be a literal of at least 1"))?;
        let value_type = args.exprs[0].data_type(args.schema)?;
        Ok(Box::new(EdgesAccumulator { bins: bins.unsigned_abs(), value_type, ranked: Ranked::default() }))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&DOCUMENTATION)
    }
}

fn result_fields(value: &DataType) -> Fields {
    let list = |name: &str, of: DataType| {
        Field::new(name, DataType::List(Arc::new(Field::new_list_field(of, true))), false)
    };
    Fields::from(vec![list("values", value.clone()), list("edges", DataType::Float64)])
}

/// Distinct values in order with how often they occur, and those not sorted in yet. Values are numbers whose order is that
/// of what they stand for.
#[derive(Debug, Default)]
struct Ranked {
    values: Vec<i128>,
    counts: Vec<u64>,
    unsorted: Vec<i128>,
}

impl Ranked {
    fn push(&mut self, value: i128) {
        self.unsorted.push(value);
        if self.unsorted.len() >= COMPACT_FROM.max(self.values.len()) {
            self.compact();
        }
    }

    fn compact(&mut self) {
        let mut unsorted = std::mem::take(&mut self.unsorted);
        unsorted.sort_unstable();
        let runs = unsorted.chunk_by(|a, b| a == b).map(|run| (run[0], run.len() as u64));
        self.merge(runs);
        unsorted.clear();
        self.unsorted = unsorted;
    }

    /// Adds ascending distinct values with their counts.
    fn merge(&mut self, others: impl Iterator<Item = (i128, u64)>) {
        let (values, counts) = (std::mem::take(&mut self.values), std::mem::take(&mut self.counts));
        let mut own = values.into_iter().zip(counts).peekable();
        let mut add = |value: i128, count: u64| {
            self.values.push(value);
            self.counts.push(count);
        };
        for (value, mut count) in others {
            while let Some((before, count)) = own.next_if(|(own, _)| *own < value) {
                add(before, count);
            }
            if let Some((_, same)) = own.next_if(|(own, _)| *own == value) {
                count += same;
            }
            add(value, count);
        }
        own.for_each(|(value, count)| add(value, count));
    }

    /// The values at ascending places of all that were added, in order.
    fn at(&self, places: impl Iterator<Item = u64>) -> Vec<i128> {
        let (mut index, mut end) = (0, self.counts.first().copied().unwrap_or_default());
        let find = |place: u64| {
            while place >= end && index + 1 < self.values.len() {
                index += 1;
                end += self.counts[index];
            }
            self.values[index]
        };
        places.map(find).collect()
    }

    fn size(&self) -> usize {
        (self.values.capacity() + self.unsorted.capacity()) * size_of::<i128>()
            + self.counts.capacity() * size_of::<u64>()
    }
}

#[derive(Debug)]
struct EdgesAccumulator {
    bins: u64,
    value_type: DataType,
    ranked: Ranked,
}

impl EdgesAccumulator {
    /// What values stand for.
    fn array(&self, values: &[i128]) -> ArrayRef {
        match self.value_type {
            DataType::Int64 => {
                Arc::new(values.iter().map(|value| Some(*value as i64)).collect::<Int64Array>())
            }
            DataType::Float64 => {
                Arc::new(values.iter().map(|value| Some(double_of(*value))).collect::<Float64Array>())
            }
            _ => {
                let decimals: Decimal128Array = values.iter().map(|value| Some(*value)).collect();
                Arc::new(decimals.with_data_type(self.value_type.clone()))
            }
        }
    }

    /// The edge between two neighbours, `remainder` of `bins` parts of the way.
    fn edge(&self, lower: i128, upper: i128, remainder: u64) -> Result<f64> {
        let scale = match self.value_type {
            DataType::Float64 => {
                let (from, to) = (double_of(lower), double_of(upper));
                let part = remainder as f64 / self.bins as f64;
                // infinite ones have no difference
                return Ok(if lower == upper { from } else { from + (to - from) * part });
            }
            DataType::Decimal128(_, scale) => scale,
            _ => 0,
        };
        let (bins, remainder) = (i128::from(self.bins), i128::from(remainder));
        let sum = lower
            .checked_mul(bins - remainder)
            .zip(upper.checked_mul(remainder))
            .and_then(|(lower, upper)| lower.checked_add(upper))
            .ok_or_else(|| exec_datafusion_err!("{NAME}: a value is too large"))?;
        Ok(sum as f64 / (self.bins as f64 * 10_f64.powi(scale.into())))
    }
}

impl Accumulator for EdgesAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let ranked = &mut self.ranked;
        match self.value_type {
            DataType::Int64 => {
                let values = values[0].as_primitive::<Int64Type>();
                values.iter().flatten().for_each(|value| ranked.push(value.into()));
            }
            DataType::Float64 => {
                let values = values[0].as_primitive::<Float64Type>();
                values.iter().flatten().for_each(|value| ranked.push(key_of(value)));
            }
            _ => {
                let values = values[0].as_primitive::<Decimal128Type>();
                values.iter().flatten().for_each(|value| ranked.push(value));
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.ranked.compact();
        let (values, counts) = (states[0].as_list::<i32>(), states[1].as_list::<i32>());
        for row in (0..values.len()).filter(|row| values.is_valid(*row)) {
            let range = list_range(values, row);
            let values = &values.values().as_primitive::<Decimal128Type>().values()[range];
            let counts = &counts.values().as_primitive::<Int64Type>().values()[list_range(counts, row)];
            self.ranked.merge(values.iter().copied().zip(counts.iter().map(|count| count.unsigned_abs())));
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.ranked.compact();
        let rows: u64 = self.ranked.counts.iter().sum();
        let (mut lower, mut edges) = (Vec::new(), Vec::new());
        if let Some(last) = rows.checked_sub(1) {
            let steps = (0..=self.bins).map(|k| u128::from(k) * u128::from(last));
            let bins = u128::from(self.bins);
            let places: Vec<u64> = steps.clone().map(|step| (step / bins) as u64).collect();
            lower = self.ranked.at(places.iter().copied());
            let upper = self.ranked.at(places.iter().map(|place| (place + 1).min(last)));
            edges = lower
                .iter()
                .zip(upper)
                .zip(steps)
                .map(|((lower, upper), step)| self.edge(*lower, upper, (step % bins) as u64))
                .collect::<Result<Vec<f64>>>()?;
        }
        let list = |values: ArrayRef| one_list(values).to_array();
        let columns = vec![list(self.array(&lower))?, list(Arc::new(Float64Array::from(edges)))?];
        let fields = result_fields(&self.value_type);
        Ok(ScalarValue::Struct(Arc::new(StructArray::try_new(fields, columns, None)?)))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.ranked.compact();
        let values = Decimal128Array::from(self.ranked.values.clone()).with_data_type(KEY);
        let counts: Int64Array = self.ranked.counts.iter().map(|count| Some(count.cast_signed())).collect();
        Ok(vec![one_list(Arc::new(values)), one_list(Arc::new(counts))])
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.ranked.size()
    }
}

/// A number whose order among others is that of the doubles; the two zeros are one.
fn key_of(value: f64) -> i128 {
    let bits = (value + 0.0).to_bits().cast_signed();
    i128::from(bits ^ ((bits >> 63).cast_unsigned() >> 1).cast_signed())
}

fn double_of(key: i128) -> f64 {
    let bits = key as i64;
    f64::from_bits((bits ^ ((bits >> 63).cast_unsigned() >> 1).cast_signed()).cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_keep_their_order_and_come_back() {
        let doubles =
            [f64::NEG_INFINITY, -1e300, -1.5, -f64::MIN_POSITIVE, 0.0, 5e-324, 0.1, 2.0, f64::INFINITY];
        assert!(doubles.map(key_of).is_sorted_by(|a, b| a < b));
        for double in doubles {
            assert_eq!(double_of(key_of(double)).to_bits(), double.to_bits());
        }
        assert_eq!(key_of(-0.0), key_of(0.0));
    }
}
