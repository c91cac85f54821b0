//! `tile_sums(values, before, rows, tiles)`: what the values of one range add to the tiles of all.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Array, Int64Array, ListArray, StructArray,
};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Decimal128Type, Field, Fields, Int64Type};
use datafusion::common::{Result, exec_datafusion_err, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, DocSection, Documentation, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use super::tile::{tile, tile_end};

const NAME: &str = "tile_sums";
const MONEY: DataType = DataType::Decimal128(38, 4);

static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        DocSection::default(),
        "What the values of one range, the greatest first, add to the tiles of all values: for each tile that some of them fall into its \
         number, how many (rows), their sum, and the sum of each value times its place among all, from 1 (weighted). Ranges side by side \
         tell of all values what sorting them would. Takes a copy of the values of a range.",
        "tile_sums(values, before, rows, tiles)",
    )
    .with_argument("values", "A list of decimal(38,4) in any order; nulls are left out.")
    .with_argument("before", "How many values lie in the ranges of greater ones.")
    .with_argument("rows", "How many values there are in all ranges.")
    .with_argument("tiles", "How many tiles; see tile.")
    .with_sql_example("SELECT tile_sums(array_agg(amount), 0, count(*), 10) FROM line")
    .build()
});

#[derive(Debug, PartialEq, Eq, Hash)]
pub struct TileSums {
    signature: Signature,
}

impl Default for TileSums {
    fn default() -> Self {
        let arguments = vec![list_of(MONEY), DataType::Int64, DataType::Int64, DataType::Int64];
        Self { signature: Signature::exact(arguments, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for TileSums {
    fn name(&self) -> &'static str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(list_of(DataType::Struct(fields())))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let ranges = arrays[0].as_list::<i32>();
        let values = ranges.values().as_primitive::<Decimal128Type>();
        let numbers = [1, 2, 3].map(|column: usize| arrays[column].as_primitive::<Int64Type>());
        let (mut parts, mut lengths) = (Parts::default(), Vec::with_capacity(ranges.len()));
        let mut range = Vec::new();
        for row in 0..ranges.len() {
            range.clear();
            if ranges.is_valid(row) {
                let bounds = ranges.value_offsets()[row] as usize..ranges.value_offsets()[row + 1] as usize;
                range.extend(bounds.filter(|index| values.is_valid(*index)).map(|index| values.value(index)));
            }
            let [before, rows, tiles] = numbers.map(|numbers| numbers.value(row));
            if numbers.iter().any(|numbers| numbers.is_null(row))
                || tiles < 1
                || before < 0
                || rows.checked_sub(before).is_none_or(|left| left < range.len() as i64)
            {
                return exec_err!("{NAME} takes places among the rows and at least one tile");
            }
            range.sort_unstable_by(|a, b| b.cmp(a));
            lengths.push(parts.add(&range, before, rows, tiles)?);
        }
        Ok(ColumnarValue::Array(parts.into_lists(lengths)?))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&DOCUMENTATION)
    }
}

fn list_of(values: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(values, true)))
}

fn fields() -> Fields {
    Fields::from(vec![
        Field::new("tile", DataType::Int64, false),
        Field::new("rows", DataType::Int64, false),
        Field::new("sum", MONEY, false),
        Field::new("weighted", MONEY, false),
    ])
}

/// What ranges add to tiles, by column.
#[derive(Debug, Default)]
struct Parts {
    tiles: Vec<i64>,
    rows: Vec<i64>,
    sums: Vec<i128>,
    weighted: Vec<i128>,
}

impl Parts {
    /// Adds a range, its greatest value first. Tells to how many tiles it adds something.
    fn add(&mut self, mut range: &[i128], before: i64, rows: i64, tiles: i64) -> Result<usize> {
        let mut place = before;
        let known = self.tiles.len();
        while !range.is_empty() {
            let tile = tile(place, rows, tiles);
            let within = (tile_end(tile, rows, tiles) - place) as usize;
            let (values, others) = range.split_at(within.min(range.len()));
            let (mut sum, mut weighted) = (Some(0_i128), Some(0_i128));
            for (value, place) in values.iter().zip(place + 1..) {
                sum = sum.and_then(|sum| sum.checked_add(*value));
                let product = value.checked_mul(i128::from(place));
                weighted =
                    weighted.zip(product).and_then(|(weighted, product)| weighted.checked_add(product));
            }
            let (Some(sum), Some(weighted)) = (sum, weighted) else {
                return exec_err!(
                    "{NAME}: values times their places add up to more than decimal(38,4) holds"
                );
            };
            self.tiles.push(tile);
            self.rows.push(values.len() as i64);
            self.sums.push(sum);
            self.weighted.push(weighted);
            place += values.len() as i64;
            range = others;
        }
        Ok(self.tiles.len() - known)
    }

    fn into_lists(self, lengths: Vec<usize>) -> Result<ArrayRef> {
        let money = |values: Vec<i128>| -> Result<ArrayRef> {
            let values = Decimal128Array::from(values).with_data_type(MONEY);
            let too_large = |_| exec_datafusion_err!("{NAME}: a sum is more than decimal(38,4) holds");
            values.validate_decimal_precision(38).map_err(too_large)?;
            Ok(Arc::new(values))
        };
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(self.tiles)),
            Arc::new(Int64Array::from(self.rows)),
            money(self.sums)?,
            money(self.weighted)?,
        ];
        let sums = StructArray::try_new(fields(), columns, None)?;
        let item = Arc::new(Field::new_list_field(DataType::Struct(fields()), true));
        Ok(Arc::new(ListArray::try_new(item, OffsetBuffer::from_lengths(lengths), Arc::new(sums), None)?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranges_side_by_side_are_what_all_are_sorted(mut values in prop::collection::vec(-40..40i128, 1..60), tiles in 1..12i64, cuts in prop::collection::vec(-40..40i128, 0..4)) {
            values.sort_unstable_by(|a, b| b.cmp(a));
            let rows = values.len() as i64;
            let mut cuts = cuts;
            cuts.sort_unstable_by(|a, b| b.cmp(a));
            let mut found = Parts::default();
            let (mut left, mut before) = (&values[..], 0);
            for cut in cuts.into_iter().chain([i128::MIN]) {
                let (range, others) = left.split_at(left.partition_point(|value| *value > cut));
                found.add(range, before, rows, tiles).unwrap();
                before += range.len() as i64;
                left = others;
            }
            for number in 1..=tiles {
                let of_tile = |column: &dyn Fn(usize) -> i128| (0..found.tiles.len()).filter(|part| found.tiles[*part] == number).map(column).sum::<i128>();
                let placed = || values.iter().zip(0..).filter(|(_, place)| tile(*place, rows, tiles) == number);
                prop_assert_eq!(of_tile(&|part| i128::from(found.rows[part])), placed().count() as i128);
                prop_assert_eq!(of_tile(&|part| found.sums[part]), placed().map(|(value, _)| value).sum::<i128>());
                prop_assert_eq!(of_tile(&|part| found.weighted[part]), placed().map(|(value, place)| value * i128::from(place + 1)).sum::<i128>());
            }
        }
    }
}
