//! `quantile_ranges(counts, bins)`: in which ranges of values quantiles lie, so that no others need to be looked at.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, AsArray, Int64Array, Int64Builder, ListBuilder};
use datafusion::arrow::datatypes::{DataType, Field, Int64Type};
use datafusion::common::{Result, exec_datafusion_err, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, DocSection, Documentation, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

const NAME: &str = "quantile_ranges";

/// More bins than anyone reads.
pub const MOST_BINS: i64 = 1_000_000;

static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        DocSection::default(),
        "In which ranges of values quantiles lie, for quantile_edges to keep no others: a list of how many values there are, then for each \
         such range its number and how many values lie before it. With it, quantiles of any number of values take two passes and little \
         memory, unless many different values lie in a range.",
        "quantile_ranges(counts, bins)",
    )
    .with_argument("counts", "How many values lie in each range: value_counts(value_range(value)).")
    .with_argument("bins", "How many bins.")
    .with_sql_example("SELECT quantile_ranges(value_counts(value_range(amount)), 4) FROM line")
    .build()
});

#[derive(Debug, PartialEq, Eq, Hash)]
pub struct QuantileRanges {
    signature: Signature,
}

impl Default for QuantileRanges {
    fn default() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for QuantileRanges {
    fn name(&self) -> &'static str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let [counts @ DataType::List(field), bins] = arg_types else {
            return plan_err!("{NAME} takes counts and a number of bins");
        };
        let is_count = |fields: &[Arc<Field>]| {
            fields.len() == 2 && fields.iter().all(|field| *field.data_type() == DataType::Int64)
        };
        match field.data_type() {
            DataType::Struct(fields) if is_count(fields) && bins.is_integer() => {
                Ok(vec![counts.clone(), DataType::Int64])
            }
            _ => plan_err!("{NAME} takes value_counts of value_range and a number of bins"),
        }
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(Arc::new(Field::new_list_field(DataType::Int64, true))))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let counts = args.args[0].to_array(args.number_rows)?;
        let bins = args.args[1].to_array(args.number_rows)?;
        let (counts, bins) = (counts.as_list::<i32>(), bins.as_primitive::<Int64Type>());
        let mut lists = ListBuilder::new(Int64Builder::new());
        for row in 0..args.number_rows {
            if counts.is_null(row) || bins.is_null(row) {
                lists.append_null();
                continue;
            }
            if !(1..=MOST_BINS).contains(&bins.value(row)) {
                return exec_err!("{NAME}: bins must be at least 1 and at most {MOST_BINS}");
            }
            let counts = counts.value(row);
            let column =
                |column: usize| counts.as_struct().column(column).as_primitive::<Int64Type>().values();
            let counts = column(0).iter().copied().zip(column(1).iter().map(|count| count.unsigned_abs()));
            let found = FoundRanges::of(counts.collect(), bins.value(row).unsigned_abs());
            lists.append_value(found.numbers().map(Some));
        }
        Ok(ColumnarValue::Array(Arc::new(lists.finish())))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&DOCUMENTATION)
    }
}

/// How many values there are, and the ranges that hold quantiles, ascending, each with how many values lie before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundRanges {
    pub values: u64,
    pub ranges: Vec<(i64, u64)>,
}

impl FoundRanges {
    /// From how many values lie in each range.
    #[must_use]
    pub fn of(mut ranges: Vec<(i64, u64)>, bins: u64) -> Self {
        ranges.sort_unstable();
        let values = ranges.iter().fold(0_u64, |values, (_, count)| values.saturating_add(*count));
        let mut wanted =
            quantile_places(values, bins).flat_map(|place| [place.lower, place.upper]).peekable();
        let mut found = Vec::new();
        let mut before = 0_u64;
        for (range, count) in ranges {
            let mut holds_a_place = false;
            while wanted.next_if(|place| *place < before.saturating_add(count)).is_some() {
                holds_a_place = true;
            }
            if holds_a_place {
                found.push((range, before));
            }
            before = before.saturating_add(count);
        }
        Self { values, ranges: found }
    }

    /// How many values lie before a range, if it is one of those.
    #[must_use]
    pub fn before(&self, range: i64) -> Option<u64> {
        let place = self.ranges.binary_search_by_key(&range, |(range, _)| *range).ok()?;
        Some(self.ranges[place].1)
    }

    /// What the function's list says.
    ///
    /// # Errors
    /// When it is no such list.
    pub fn from_list(list: &Int64Array) -> Result<Self> {
        let numbers = list.values();
        let found =
            numbers.split_first().filter(|(_, ranges)| list.null_count() == 0 && ranges.len() % 2 == 0);
        let (values, ranges) =
            found.ok_or_else(|| exec_datafusion_err!("a list of ranges is not one that {NAME} made"))?;
        let ranges: Vec<(i64, u64)> =
            ranges.chunks_exact(2).map(|range| (range[0], range[1].unsigned_abs())).collect();
        if *values < 0 || !ranges.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1) {
            return exec_err!("a list of ranges is not one that {NAME} made");
        }
        Ok(Self { values: values.unsigned_abs(), ranges })
    }

    /// The list that says the same.
    pub fn numbers(&self) -> impl Iterator<Item = i64> + '_ {
        let ranges = self.ranges.iter().flat_map(|(range, before)| [*range, before.cast_signed()]);
        [self.values.cast_signed()].into_iter().chain(ranges)
    }
}

/// Where an edge of type 7 lies among sorted values: `rest` of `bins` parts of the way from one place to another.
#[derive(Debug, Clone, Copy)]
pub struct QuantilePlace {
    pub lower: u64,
    pub upper: u64,
    pub rest: u64,
}

/// The places of the edges of so many bins, ascending; none where there are no values.
pub fn quantile_places(values: u64, bins: u64) -> impl Iterator<Item = QuantilePlace> {
    let last = values.checked_sub(1);
    last.into_iter().flat_map(move |last| {
        (0..=bins).map(move |edge| {
            let (step, bins) = (u128::from(edge) * u128::from(last), u128::from(bins));
            let lower = (step / bins) as u64;
            QuantilePlace { lower, upper: (lower + 1).min(last), rest: (step % bins) as u64 }
        })
    })
}
