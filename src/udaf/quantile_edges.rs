//! `quantile_edges(value, bins)`: where the bins of quantiles end, exactly.

use std::ops::Range;
use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Array, Float64Array, Int64Array, StructArray,
};
use datafusion::arrow::datatypes::{
    DataType, Decimal128Type, Field, FieldRef, Fields, Float64Type, Int64Type,
};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, exec_err, plan_datafusion_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, DocSection, Documentation, Signature, Volatility,
};
use hashbrown::HashMap;

use super::ranked::Ranked;
use super::{list_range, literal_count, one_list};
use crate::udf::quantile_ranges::{FoundRanges, MOST_BINS, quantile_places};
use crate::udf::shared::{first_list, one_list_type, shared_type};
use crate::udf::value_range::{double_of, number_type, ordered_bits, range_of, range_of_whole};

const NAME: &str = "quantile_edges";

/// The type of values in states, wide enough for all that are taken.
const KEY: DataType = DataType::Decimal128(38, 0);

static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        DocSection::default(),
        "Where the bins of quantiles end, as a struct of two lists of bins + 1 entries. With the n values sorted, x_0 to x_{n-1}, \
         and b bins, j = k (n - 1) div b and r = k (n - 1) mod b for k from 0 to b: values has x_j, edges has the edge of type 7 \
         (Hyndman and Fan 1996), ((b - r) x_j + r x_{j+1}) / b, as a double. A value lies above edge k exactly when it is above \
         x_j: the edge is below x_{j+1} unless that equals x_j. Exact at any size. Nulls are passed over; without values the \
         lists are empty. Takes 16 to 60 bytes of memory for each distinct value, of the ranges alone where those are given; whole \
         numbers below 4,096 are counted in place, in up to 64 bytes for each value and at most 64 KiB.",
        "quantile_edges(value, bins [, ranges])",
    )
    .with_argument("value", "A whole number, a decimal or a double.")
    .with_argument("bins", "A literal: how many bins.")
    .with_argument("ranges", "What quantile_ranges says of the same values, one list, shared or not, for all of a group; null, as without it, to keep all values.")
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
        let ([value, _] | [value, _, _]) = arg_types else {
            return plan_err!(
                "{NAME} takes a value, a number of bins and maybe ranges, not {} arguments",
                arg_types.len()
            );
        };
        let ranges = match arg_types.get(2) {
            // a parameter whose type is not known yet
            Some(DataType::Null) | None => shared_type(one_list_type(&DataType::Null, DataType::Int64)),
            Some(given) => one_list_type(given, DataType::Int64),
        };
        let types = [number_type(NAME, value)?, DataType::Int64, ranges];
        Ok(types.into_iter().take(arg_types.len()).collect())
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
        Ok(vec![list("values", KEY), list("counts", DataType::Int64), list("ranges", DataType::Int64)])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let bins = literal_count(&args.exprs[1]).filter(|bins| (1..=MOST_BINS).contains(bins));
        let bins = bins.ok_or_else(|| {
            plan_datafusion_err!("{NAME}: bins must be a literal of at least 1 and at most {MOST_BINS}")
        })?;
        let value_type = args.exprs[0].data_type(args.schema)?;
        Ok(Box::new(EdgesAccumulator {
            bins: bins.unsigned_abs(),
            value_type,
            ranges: Ranges::Unknown,
            ranked: Ranked::default(),
        }))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&DOCUMENTATION)
    }
}

/// Where quantiles lie: known from the first row on.
#[derive(Debug, PartialEq)]
enum Ranges {
    Unknown,
    /// Anywhere: all values are kept.
    All,
    Found(FoundRanges),
}

impl Ranges {
    /// What a list of ranges says, or that there is none.
    fn of(list: Option<ArrayRef>) -> Result<Self> {
        list.map_or(Ok(Self::All), |list| FoundRanges::from_list(list.as_primitive()).map(Self::Found))
    }

    /// Notes what is said of the ranges.
    fn note(&mut self, said: Self) -> Result<()> {
        if *self == Self::Unknown {
            *self = said;
        } else if *self != said {
            return exec_err!("{NAME} takes one list of ranges for all values");
        }
        Ok(())
    }
}

fn result_fields(value: &DataType) -> Fields {
    let list = |name: &str, of: DataType| {
        Field::new(name, DataType::List(Arc::new(Field::new_list_field(of, true))), false)
    };
    Fields::from(vec![list("values", value.clone()), list("edges", DataType::Float64)])
}

#[derive(Debug)]
struct EdgesAccumulator {
    bins: u64,
    value_type: DataType,
    ranges: Ranges,
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
                Arc::new(values.iter().map(|value| Some(double_of(*value as i64))).collect::<Float64Array>())
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
                let (from, to) = (double_of(lower as i64), double_of(upper as i64));
                let part = remainder as f64 / self.bins as f64;
                // infinite ones have no difference
                return Ok(if lower == upper || remainder == 0 { from } else { from + (to - from) * part });
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

    /// The range that a value lies in.
    fn range(&self, value: i128) -> i64 {
        match self.value_type {
            DataType::Float64 => range_of(double_of(value as i64)),
            _ => range_of_whole(value),
        }
    }

    fn push(&mut self, value: i128) {
        let is_wanted = match &self.ranges {
            Ranges::Found(found) => found.before(self.range(value)).is_some(),
            Ranges::Unknown | Ranges::All => true,
        };
        if is_wanted {
            self.ranked.push(value);
        }
    }

    /// The ranges that hold quantiles.
    fn found_ranges(&self) -> FoundRanges {
        let mut counts: HashMap<i64, u64> = HashMap::new();
        for (value, count) in self.ranked.counted() {
            *counts.entry(self.range(value)).or_default() += count;
        }
        FoundRanges::of(counts.into_iter().collect(), self.bins)
    }

    /// By kept value the places among all where it stands, and how many values there are in all.
    fn places(&self, ranked: &Ranked, found: Option<&FoundRanges>) -> (Vec<Range<u64>>, u64) {
        let mut places: Vec<Range<u64>> = Vec::with_capacity(ranked.values.len());
        let mut end = 0;
        let mut range_before = None;
        for (value, count) in ranked.values.iter().zip(&ranked.counts) {
            if let Some(found) = found {
                let range = Some(self.range(*value));
                if range != range_before {
                    end = range.and_then(|range| found.before(range)).unwrap_or(end);
                    range_before = range;
                }
            }
            places.push(end..end + count);
            end += count;
        }
        (places, found.map_or(end, |found| found.values))
    }

    /// Where the bins end, from values in order, which are those of some ranges where these are told.
    fn edges(&self, ranked: &Ranked, found: Option<&FoundRanges>) -> Result<ScalarValue> {
        let (places, values) = self.places(ranked, found);
        let at = |place: u64| {
            let index = places.partition_point(|kept| kept.end <= place);
            let kept = places.get(index).filter(|kept| kept.contains(&place));
            kept.map(|_| ranked.values[index])
                .ok_or_else(|| exec_datafusion_err!("{NAME}: the ranges are those of other values"))
        };
        let (mut lower, mut edges) = (Vec::new(), Vec::new());
        for place in quantile_places(values, self.bins) {
            let value = at(place.lower)?;
            lower.push(value);
            edges.push(self.edge(value, at(place.upper)?, place.rest)?);
        }
        let list = |values: ArrayRef| one_list(values).to_array();
        let columns = vec![list(self.array(&lower))?, list(Arc::new(Float64Array::from(edges)))?];
        let fields = result_fields(&self.value_type);
        Ok(ScalarValue::Struct(Arc::new(StructArray::try_new(fields, columns, None)?)))
    }
}

impl Accumulator for EdgesAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        if !values[0].is_empty() {
            let list = values.get(2).map(|lists| first_list(lists)).transpose()?.flatten();
            self.ranges.note(Ranges::of(list)?)?;
        }
        match self.value_type {
            DataType::Int64 => {
                let values = values[0].as_primitive::<Int64Type>();
                values.iter().flatten().for_each(|value| self.push(value.into()));
            }
            DataType::Float64 => {
                let values = values[0].as_primitive::<Float64Type>();
                values.iter().flatten().for_each(|value| self.push(ordered_bits(value).into()));
            }
            _ => {
                let values = values[0].as_primitive::<Decimal128Type>();
                values.iter().flatten().for_each(|value| self.push(value));
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let [values, counts, ranges] = [0, 1, 2].map(|column| states[column].as_list::<i32>());
        for row in (0..values.len()).filter(|row| values.is_valid(*row)) {
            let range = list_range(values, row);
            let values = &values.values().as_primitive::<Decimal128Type>().values()[range];
            let counts = &counts.values().as_primitive::<Int64Type>().values()[list_range(counts, row)];
            let said = ranges.is_valid(row).then(|| ranges.value(row));
            // without rows nothing was said
            if said.is_some() || !values.is_empty() {
                self.ranges.note(Ranges::of(said)?)?;
            }
            let split = values.split_at_checked(counts.len());
            let (sorted, unsorted) =
                split.ok_or_else(|| exec_datafusion_err!("{NAME}: a state has more counts than values"))?;
            self.ranked.merge(sorted.iter().copied().zip(counts.iter().map(|count| count.unsigned_abs())));
            for value in unsorted {
                self.ranked.push_unsorted(*value);
            }
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.ranked.end_counting();
        let is_known = matches!(self.ranges, Ranges::Found(_));
        if !is_known && self.ranked.has_many_unsorted() {
            // those of the ranges alone that hold quantiles need to be sorted
            let found = self.found_ranges();
            let wanted = self.ranked.sorted(|value| found.before(self.range(value)).is_some());
            return self.edges(&wanted, Some(&found));
        }
        self.ranked.sort_in();
        let found = if let Ranges::Found(found) = &self.ranges { Some(found) } else { None };
        self.edges(&self.ranked, found)
    }

    /// Values in order with their counts, then those in no order, which have none.
    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.ranked.end_counting();
        self.ranked.make_room();
        let values = self.ranked.values.iter().chain(&self.ranked.unsorted).copied();
        let values = Decimal128Array::from_iter_values(values).with_data_type(KEY);
        let counts: Int64Array = self.ranked.counts.iter().map(|count| Some(count.cast_signed())).collect();
        let ranges = match &self.ranges {
            Ranges::Found(found) => one_list(Arc::new(found.numbers().collect::<Int64Array>())),
            Ranges::Unknown | Ranges::All => ScalarValue::new_null_list(DataType::Int64, true, 1),
        };
        Ok(vec![one_list(Arc::new(values)), one_list(Arc::new(counts)), ranges])
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.ranked.size()
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::RecordBatch;
    use datafusion::arrow::util::pretty::pretty_format_batches;
    use datafusion::datasource::MemTable;
    use datafusion::prelude::SessionContext;
    use proptest::prelude::*;

    use crate::config::{Arguments, Config};

    use super::*;

    /// The only value of a query.
    fn value(context: &SessionContext, sql: &str) -> Result<String> {
        let rows = async { context.sql(sql).await?.collect().await };
        let rows = tokio::runtime::Runtime::new()?.block_on(rows)?;
        let table = pretty_format_batches(&rows)?.to_string();
        Ok(table.lines().nth(3).unwrap_or_default().trim_matches(['|', ' ']).to_owned())
    }

    fn context(values: &[Option<i64>]) -> SessionContext {
        let engine = Config::load(&Arguments::default()).unwrap().engine;
        let context = crate::session::embedded(&engine).unwrap();
        let parts: Vec<Vec<RecordBatch>> = values
            .chunks(values.len().div_ceil(3).max(1))
            .map(|part| {
                let column = Arc::new(part.iter().copied().collect::<Int64Array>()) as ArrayRef;
                vec![RecordBatch::try_from_iter_with_nullable([("value", column, true)]).unwrap()]
            })
            .collect();
        context
            .register_table("t", Arc::new(MemTable::try_new(parts[0][0].schema(), parts).unwrap()))
            .unwrap();
        context
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn quantiles_of_their_ranges_are_those_of_all_values(
            values in prop::collection::vec(
                prop::option::weighted(0.9, prop_oneof![-9i64..9, 1000i64..1008, -5_000_000i64..5_000_000]), 1..200),
            bins in 1u64..8,
        ) {
            let context = context(&values);
            for number in ["value", "value / 7.0", "CAST(value AS DECIMAL(38, 4)) / 3"] {
                let ranges =
                    value(&context, &format!("SELECT quantile_ranges(value_counts(value_range({number})), {bins}) FROM t")).unwrap();
                let of_ranges = value(&context, &format!("SELECT quantile_edges({number}, {bins}, {ranges}) FROM t")).unwrap();
                let of_all = value(&context, &format!("SELECT quantile_edges({number}, {bins}) FROM t")).unwrap();
                prop_assert_eq!(of_ranges, of_all);
                let by_group = |ranges: &str| value(&context, &format!(
                    "WITH n AS (SELECT value % 3 AS g, {number} AS number FROM t), \
                     found AS (SELECT g, quantile_ranges(value_counts(value_range(number)), {bins}) AS ranges FROM n GROUP BY g), \
                     edges AS (SELECT n.g, quantile_edges(number, {bins}, {ranges}) AS edges FROM n LEFT JOIN found ON n.g = found.g GROUP BY n.g) \
                     SELECT array_agg(edges ORDER BY g) FROM edges"
                )).unwrap();
                prop_assert_eq!(by_group("found.ranges"), by_group("CAST(NULL AS BIGINT[])"));
            }
        }
    }

    #[test]
    fn an_edge_at_a_value_is_that_value_though_the_next_be_infinite() {
        let context = context(&[Some(1), Some(2), None]);
        let edges = "SELECT quantile_edges(coalesce(value, 'Infinity'::DOUBLE), 2)['edges'] FROM t";
        assert_eq!(value(&context, edges).unwrap(), "[1.0, 2.0, inf]");
    }

    #[test]
    fn numbers_counted_in_place_and_those_beyond_are_in_one_order() {
        // all below 5,000, first in no order and then again
        let numbers: Vec<Option<i64>> = (0..10_000).map(|place| Some(place * 3_571 % 5_000)).collect();
        let sorted =
            format!("[{}]", (0..5_000).map(|number| number.to_string()).collect::<Vec<_>>().join(", "));
        let found = "SELECT array_distinct(quantile_edges(value, 9999)['values']) FROM t";
        assert_eq!(value(&context(&numbers), found).unwrap(), sorted);
    }

    #[test]
    fn many_values_that_hardly_repeat_have_the_quantiles_of_sorted_ones() {
        // enough of them to be looked at twice in a partition, in no order, some below zero, each tenth of them three times
        let numbers: Vec<i64> = (0..150_000).map(|place| place * 7_919 % 150_000 * 6 - 300_000).collect();
        let repeated = numbers.iter().step_by(10).flat_map(|number| [*number; 2]);
        let all: Vec<Option<i64>> = numbers.iter().copied().chain(repeated).map(Some).collect();
        let mut sorted: Vec<i64> = all.iter().flatten().copied().collect();
        sorted.sort_unstable();
        for bins in [1, 7, 19, 133] {
            let edges: Vec<String> =
                (0..=bins).map(|edge| sorted[edge * (sorted.len() - 1) / bins].to_string()).collect();
            let found =
                value(&context(&all), &format!("SELECT quantile_edges(value, {bins})['values'] FROM t"))
                    .unwrap();
            assert_eq!(found, format!("[{}]", edges.join(", ")));
        }
    }

    fn accumulator(value_type: &DataType, bins: u64) -> EdgesAccumulator {
        let (ranges, ranked) = (Ranges::Unknown, Ranked::default());
        EdgesAccumulator { bins, value_type: value_type.clone(), ranges, ranked }
    }

    /// The lists of an accumulator's result: the values, and the edges between them.
    fn lists(accumulator: &mut EdgesAccumulator) -> [ArrayRef; 2] {
        let ScalarValue::Struct(found) = accumulator.evaluate().unwrap() else { unreachable!() };
        [0, 1].map(|column| found.column(column).as_list::<i32>().value(0))
    }

    #[test]
    fn quantiles_of_what_came_so_far_leave_what_is_to_come() {
        let mut accumulator = accumulator(&DataType::Int64, 2);
        // windows ask again and again
        for end in [40_001, 120_001] {
            let numbers = (end - 40_000..end).map(|place| place * 7_919 % 40_000 + end * 1_000);
            let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(numbers));
            accumulator.update_batch(&[numbers]).unwrap();
            let middle = if end == 40_001 { 40_001_000 + 19_999 } else { 40_001_000 + 39_999 };
            let [found, _] = lists(&mut accumulator);
            assert_eq!(
                found.as_primitive::<Int64Type>().values(),
                &[40_001_000, middle, end * 1_000 + 39_999]
            );
        }
    }

    #[test]
    fn many_decimals_and_doubles_have_the_quantiles_of_sorted_ones_however_they_are_merged() {
        // half of them beyond 64 bits, some below zero
        let number = |place: i128| (place * 7_919 % 200_000 - 50_000) << (place % 2 * 60);
        let decimals = |places: Range<i128>| -> ArrayRef {
            let numbers = Decimal128Array::from_iter_values(places.map(number));
            Arc::new(numbers.with_precision_and_scale(38, 4).unwrap())
        };
        let double = |place: i128| match place % 50_000 {
            7 => f64::INFINITY,
            8 => f64::NEG_INFINITY,
            9 => -0.0,
            _ => number(place) as f64 / 3.0,
        };
        let doubles = |places: Range<i128>| -> ArrayRef {
            Arc::new(Float64Array::from_iter_values(places.map(double)))
        };
        // the values of the first repeat, those of the next do not, those of the last are few
        let parts: [&[Range<i128>]; 3] = [
            &[0..50_000, 0..50_000, 10..90],
            &[90_000..130_000, 130_000..170_000],
            &[180_000..180_100, 190_000..190_001],
        ];
        let arrays: [&dyn Fn(Range<i128>) -> ArrayRef; 2] = [&decimals, &doubles];
        for array in arrays {
            let value_type = array(0..1).data_type().clone();
            let (mut whole, mut merged) = (accumulator(&value_type, 9), accumulator(&value_type, 9));
            let mut sorted: Vec<i128> = Vec::new();
            for part in parts {
                let mut one = accumulator(&value_type, 9);
                for places in part {
                    one.update_batch(&[array(places.clone())]).unwrap();
                    whole.update_batch(&[array(places.clone())]).unwrap();
                    sorted.extend(places.clone().map(|place| match value_type {
                        DataType::Float64 => ordered_bits(double(place)).into(),
                        _ => number(place),
                    }));
                }
                let state = one.state().unwrap();
                let state: Vec<ArrayRef> = state.iter().map(|state| state.to_array().unwrap()).collect();
                merged.merge_batch(&state).unwrap();
            }
            sorted.sort_unstable();
            let lower: Vec<i128> = (0..=9).map(|edge| sorted[edge * (sorted.len() - 1) / 9]).collect();
            let expected = merged.array(&lower);
            assert_eq!(&lists(&mut whole)[0], &expected);
            assert_eq!(&lists(&mut merged)[0], &expected);
            assert_eq!(&lists(&mut whole)[1], &lists(&mut merged)[1]);
        }
    }

    #[test]
    fn values_most_of_which_are_one_take_no_more_memory_than_the_distinct_ones() {
        let mut accumulator = accumulator(&DataType::Int64, 2);
        for start in (0..2_000_000).step_by(10_000) {
            // of 100,000 distinct ones each comes twice
            let number = |place: i64| if place % 10 == 0 { place % 1_000_000 + 5_000 } else { 7_777 };
            let numbers: ArrayRef =
                Arc::new(Int64Array::from_iter_values((start..start + 10_000).map(number)));
            accumulator.update_batch(&[numbers]).unwrap();
        }
        assert!(accumulator.size() < 100_000 * 60 + 70_000, "{}", accumulator.size());
    }

    #[test]
    fn ranges_of_other_values_are_refused() {
        let context = context(&[Some(1), Some(2), Some(300)]);
        for ranges in ["[9, 0, 0]", "[9]", "[]", "[3, 5, 1, 4, 2]", "[-1]", "[3, NULL]"] {
            let error =
                value(&context, &format!("SELECT quantile_edges(value, 2, {ranges}) FROM t")).unwrap_err();
            assert!(error.to_string().contains("range"), "{ranges}: {error}");
        }
    }
}
