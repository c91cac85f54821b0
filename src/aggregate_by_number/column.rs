//! The values of a column by bucket, in as few bytes as they need: it is moving them that takes time.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayData, ArrayRef, AsArray, BooleanArray, NullBufferBuilder, UInt32Array, make_array,
};
use datafusion::arrow::buffer::{Buffer, NullBuffer};
use datafusion::arrow::compute::{concat, take};
use datafusion::arrow::datatypes::{ArrowNativeType, DataType};
use datafusion::common::Result;

use super::scatter::Ways;

/// A column whose values go to buckets.
pub(super) struct Column {
    data_type: DataType,
    /// By bucket, all of them of one width.
    values: Vec<Values>,
    nulls: Vec<NullBufferBuilder>,
}

/// The values of a column in a bucket, and which of them there are.
pub(super) struct Part {
    data_type: DataType,
    values: Values,
    nulls: Option<NullBuffer>,
}

impl Column {
    pub(super) fn new(data_type: DataType, buckets: usize) -> Self {
        let is_integer = width_of(&data_type).is_some();
        let none = || if is_integer { Values::Zeros(0) } else { Values::Arrays(Vec::new(), 0) };
        Self { data_type, values: (0..buckets).map(|_| none()).collect(), nulls: nulls(buckets) }
    }

    /// Adds the values of a batch, each to its bucket.
    pub(super) fn add(&mut self, values: &ArrayRef, ways: &Ways) -> Result<()> {
        let data = values.to_data();
        match width_of(&self.data_type) {
            Some(4) => scatter::<i32>(data.buffer(0), ways, &mut self.values),
            Some(8) => scatter::<i64>(data.buffer(0), ways, &mut self.values),
            Some(16) => scatter::<i128>(data.buffer(0), ways, &mut self.values),
            _ => return scatter_any(values, ways, &mut self.values),
        }
        scatter_nulls(data.nulls(), ways, &mut self.nulls);
        Ok(())
    }

    /// Takes what a bucket has.
    pub(super) fn take(&mut self, bucket: usize) -> Part {
        let values = &mut self.values[bucket];
        let empty = values.emptied();
        Part {
            data_type: self.data_type.clone(),
            values: std::mem::replace(values, empty),
            nulls: self.nulls[bucket].finish(),
        }
    }

    /// Bytes on the heap.
    pub(super) fn size(&self) -> usize {
        let nulls = self.nulls.iter().map(NullBufferBuilder::allocated_size);
        self.values.iter().map(Values::size).chain(nulls).sum()
    }
}

impl Part {
    pub(super) fn into_array(self) -> Result<ArrayRef> {
        let rows = self.values.len();
        let buffer = match (width_of(&self.data_type), self.values) {
            (_, Values::Arrays(arrays, _)) => return concatenated(&arrays),
            (Some(4), values) => Buffer::from_vec(values.into_integers::<i32>()),
            (Some(8), values) => Buffer::from_vec(values.into_integers::<i64>()),
            (_, values) => Buffer::from_vec(values.into_integers::<i128>()),
        };
        let data = ArrayData::builder(self.data_type).len(rows).add_buffer(buffer).nulls(self.nulls);
        Ok(make_array(data.build()?))
    }

    /// Bytes on the heap.
    pub(super) fn size(&self) -> usize {
        self.values.size() + self.nulls.as_ref().map_or(0, |nulls| nulls.buffer().capacity())
    }
}

/// How wide an integer can stand for a value: that of an interval is aligned by its parts.
fn width_of(data_type: &DataType) -> Option<usize> {
    let width = data_type.primitive_width().filter(|width| [4, 8, 16].contains(width));
    width.filter(|_| !matches!(data_type, DataType::Interval(_)))
}

/// Integers of a width that all of them fit into, of none where all are zero; or else arrays.
enum Values {
    Zeros(usize),
    Of4(Vec<i32>),
    Of8(Vec<i64>),
    Of16(Vec<i128>),
    /// With what they take.
    Arrays(Vec<ArrayRef>, usize),
}

impl Values {
    fn len(&self) -> usize {
        match self {
            Self::Zeros(values) => *values,
            Self::Of4(values) => values.len(),
            Self::Of8(values) => values.len(),
            Self::Of16(values) => values.len(),
            Self::Arrays(arrays, _) => arrays.iter().map(Array::len).sum(),
        }
    }

    /// Bytes of a value.
    fn width(&self) -> usize {
        match self {
            Self::Zeros(_) | Self::Arrays(..) => 0,
            Self::Of4(_) => 4,
            Self::Of8(_) => 8,
            Self::Of16(_) => 16,
        }
    }

    fn widen(&mut self, width: usize) {
        let values = std::mem::replace(self, Self::Zeros(0));
        *self = match width {
            4 => Self::Of4(values.into_integers()),
            8 => Self::Of8(values.into_integers()),
            _ => Self::Of16(values.into_integers()),
        };
    }

    fn into_integers<T: Integer>(self) -> Vec<T> {
        match self {
            Self::Zeros(values) => vec![T::default(); values],
            Self::Of4(values) => values.into_iter().map(|value| T::of(value.into())).collect(),
            Self::Of8(values) => values.into_iter().map(|value| T::of(value.into())).collect(),
            Self::Of16(values) => values.into_iter().map(T::of).collect(),
            Self::Arrays(..) => Vec::new(),
        }
    }

    /// None, of the same width, with room for as many where these were many.
    fn emptied(&self) -> Self {
        const MANY: usize = 256;
        let room = if self.len() < MANY { 0 } else { self.len().next_power_of_two() };
        match self {
            Self::Zeros(_) => Self::Zeros(0),
            Self::Of4(_) => Self::Of4(Vec::with_capacity(room)),
            Self::Of8(_) => Self::Of8(Vec::with_capacity(room)),
            Self::Of16(_) => Self::Of16(Vec::with_capacity(room)),
            Self::Arrays(..) => Self::Arrays(Vec::new(), 0),
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Zeros(_) => 0,
            Self::Of4(values) => values.capacity() * 4,
            Self::Of8(values) => values.capacity() * 8,
            Self::Of16(values) => values.capacity() * 16,
            Self::Arrays(_, bytes) => *bytes,
        }
    }
}

/// An integer, as which values of its width are kept.
trait Integer: ArrowNativeType + Into<i128> {
    /// Of a value that fits.
    fn of(value: i128) -> Self;

    /// How many bytes each of the values needs: none, 4, 8 or 16.
    fn width_of(values: &[Self]) -> usize;

    fn among(values: &mut Values) -> Option<&mut Vec<Self>>;
}

macro_rules! integer {
    ($integer:ty, $of_width:ident) => {
        impl Integer for $integer {
            fn of(value: i128) -> Self {
                value as Self
            }

            fn width_of(values: &[Self]) -> usize {
                let all_within = |bits: u32| {
                    let least = (1 as Self).unbounded_shl(bits - 1);
                    let beyond = |value: &Self| value.wrapping_add(least).cast_unsigned().unbounded_shr(bits);
                    values.iter().fold(0, |all, value| all | beyond(value)) == 0
                };
                if values.iter().fold(0, |all, value| all | value) == 0 {
                    return 0;
                }
                [4, 8].into_iter().find(|width| all_within(8 * width)).map_or(16, |width| width as usize)
            }

            fn among(values: &mut Values) -> Option<&mut Vec<Self>> {
                if let Values::$of_width(values) = values { Some(values) } else { None }
            }
        }
    };
}

integer!(i32, Of4);
integer!(i64, Of8);
integer!(i128, Of16);

/// Adds values, each to its bucket, once all buckets are wide enough for them.
fn scatter<T: Integer>(values: &[T], ways: &Ways, to: &mut [Values]) {
    let needed = T::width_of(values);
    let width = to.first().map_or(0, Values::width);
    if needed > width {
        for values in &mut *to {
            values.widen(needed);
        }
    }
    match needed.max(width) {
        0 => ways.by_bucket().zip(to).for_each(|(rows, to)| *to = Values::Zeros(to.len() + rows.len())),
        4 => scatter_as::<T, i32>(values, ways, to),
        8 => scatter_as::<T, i64>(values, ways, to),
        _ => scatter_as::<T, i128>(values, ways, to),
    }
}

fn scatter_as<T: Integer, Kept: Integer>(values: &[T], ways: &Ways, to: &mut [Values]) {
    let in_order = in_order(values.iter().map(|value| Kept::of((*value).into())), &ways.places);
    for (rows, to) in ways.by_bucket().zip(to) {
        if let Some(to) = Kept::among(to) {
            to.extend_from_slice(&in_order[rows]);
        }
    }
}

fn scatter_any(values: &ArrayRef, ways: &Ways, to: &mut [Values]) -> Result<()> {
    let in_order = in_order(0..values.len() as u32, &ways.places);
    for (rows, to) in ways.by_bucket().zip(to).filter(|(rows, _)| !rows.is_empty()) {
        if let Values::Arrays(arrays, bytes) = to {
            // of their own: a slice would keep the others, too, and views all texts
            let values = take(values, &UInt32Array::from(in_order[rows].to_vec()), None)?;
            let values: ArrayRef = match values.as_string_view_opt() {
                Some(texts) => Arc::new(texts.gc()),
                None => values,
            };
            *bytes += values.get_array_memory_size();
            arrays.push(values);
        }
    }
    Ok(())
}

/// Arrays as one.
fn concatenated(arrays: &[ArrayRef]) -> Result<ArrayRef> {
    let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
    Ok(concat(&arrays)?)
}

/// Whose rows go to buckets, with whether a filter lets them in.
pub(super) struct Filter(Vec<NullBufferBuilder>);

impl Filter {
    pub(super) fn new(buckets: usize) -> Self {
        Self(nulls(buckets))
    }

    pub(super) fn add(&mut self, filter: &BooleanArray, ways: &Ways) {
        let is_true = match filter.nulls() {
            Some(nulls) => filter.values() & nulls.inner(),
            None => filter.values().clone(),
        };
        scatter_nulls(Some(&NullBuffer::new(is_true)), ways, &mut self.0);
    }

    /// Which rows of a bucket it lets in, where it does not all.
    pub(super) fn take(&mut self, bucket: usize) -> Option<BooleanArray> {
        self.0[bucket].finish().map(|is_true| BooleanArray::new(is_true.into_inner(), None))
    }

    /// Bytes on the heap.
    pub(super) fn size(&self) -> usize {
        self.0.iter().map(NullBufferBuilder::allocated_size).sum()
    }
}

fn nulls(buckets: usize) -> Vec<NullBufferBuilder> {
    (0..buckets).map(|_| NullBufferBuilder::new(0)).collect()
}

fn scatter_nulls(nulls: Option<&NullBuffer>, ways: &Ways, to: &mut [NullBufferBuilder]) {
    let (places, ways) = (&ways.places, ways.by_bucket().zip(to));
    let null_count = nulls.map_or(0, NullBuffer::null_count);
    match nulls.filter(|nulls| null_count > 0 && null_count < nulls.len()) {
        Some(nulls) => {
            let in_order = in_order(nulls.iter(), places);
            ways.for_each(|(rows, to)| to.append_slice(&in_order[rows]));
        }
        None if null_count > 0 => ways.for_each(|(rows, to)| to.append_n_nulls(rows.len())),
        None => ways.for_each(|(rows, to)| to.append_n_non_nulls(rows.len())),
    }
}

/// What rows have, in the order of their places.
fn in_order<T: Copy + Default>(values: impl ExactSizeIterator<Item = T>, places: &[u32]) -> Vec<T> {
    let mut in_order = vec![T::default(); values.len()];
    for (value, place) in values.zip(places) {
        in_order[*place as usize] = value;
    }
    in_order
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{
        Decimal128Array, Float64Array, Int32Array, Int64Array, StringViewArray, UInt64Array,
    };
    use proptest::prelude::*;

    use super::*;

    /// Integers of which most are small, so that columns widen late, or never.
    fn integer() -> impl Strategy<Value = Option<i128>> {
        let integer = prop_oneof![
            40 => Just(0), 20 => -9..9_i128, 2 => any::<i32>().prop_map(i128::from), 2 => any::<i64>().prop_map(i128::from), 1 => any::<i128>(),
            1 => prop::sample::select(vec![i128::from(i32::MIN), i128::from(i32::MAX) + 1, i128::from(i64::MIN), i128::from(i64::MAX) + 1]),
        ];
        prop::option::weighted(0.95, integer)
    }

    /// Some integers as arrays of several types.
    fn arrays(integers: &[Option<i128>]) -> Vec<ArrayRef> {
        let integers = || integers.iter().copied();
        let text = |value: i128| format!("a text that is longer than a view {value}");
        let decimals: Decimal128Array = integers().collect();
        vec![
            Arc::new(integers().map(|value| value.map(|value| value as i32)).collect::<Int32Array>()),
            Arc::new(integers().map(|value| value.map(|value| value as i64)).collect::<Int64Array>()),
            Arc::new(integers().map(|value| value.map(|value| value as u64)).collect::<UInt64Array>()),
            Arc::new(integers().map(|value| value.map(|value| value as f64 / 8.0)).collect::<Float64Array>()),
            Arc::new(decimals.with_precision_and_scale(38, 4).unwrap()),
            Arc::new(integers().map(|value| value.map(|value| value % 2 == 0)).collect::<BooleanArray>()),
            Arc::new(integers().map(|value| value.map(text)).collect::<StringViewArray>()),
        ]
    }

    proptest! {
        #[test]
        fn buckets_have_what_came_in_its_order(
            batches in prop::collection::vec(prop::collection::vec((0..4_u32, integer()), 0..60), 1..6),
            take_after in 0..6_usize,
        ) {
            const BUCKETS: usize = 4;
            let mut columns: Vec<Column> =
                arrays(&[]).iter().map(|array| Column::new(array.data_type().clone(), BUCKETS)).collect();
            let mut filter = Filter::new(BUCKETS);
            let mut found = vec![vec![Vec::new(); BUCKETS]; columns.len()];
            let mut expected = found.clone();
            let mut waiting = [0; BUCKETS];
            for (number, batch) in batches.iter().enumerate() {
                let ways = Ways::to(&batch.iter().map(|row| row.0).collect::<Vec<_>>(), BUCKETS);
                let all = arrays(&batch.iter().map(|row| row.1).collect::<Vec<_>>());
                for (place, array) in all.iter().enumerate() {
                    columns[place].add(array, &ways).unwrap();
                    for (bucket, expected) in expected[place].iter_mut().enumerate() {
                        let rows = (0..batch.len()).filter(|row| batch[*row].0 as usize == bucket);
                        let rows: UInt32Array = rows.map(|row| row as u32).collect();
                        expected.push(take(array, &rows, None).unwrap());
                    }
                }
                // null where true stands, too
                let booleans = all[5].as_boolean();
                let values = booleans.iter().map(|is_true| is_true.unwrap_or(true)).collect();
                filter.add(&BooleanArray::new(values, booleans.nulls().cloned()), &ways);
                for (bucket, rows) in ways.by_bucket().enumerate() {
                    waiting[bucket] += rows.len();
                    let is_time = number == take_after || number + 1 == batches.len();
                    if !is_time || std::mem::take(&mut waiting[bucket]) == 0 {
                        continue;
                    }
                    for (place, column) in columns.iter_mut().enumerate() {
                        found[place][bucket].push(column.take(bucket).into_array().unwrap());
                    }
                    let booleans: &BooleanArray = found[5][bucket].last().unwrap().as_boolean();
                    let is_true: Vec<_> = booleans.iter().map(|is_true| is_true == Some(true)).collect();
                    let passes = filter.take(bucket).unwrap_or_else(|| vec![true; is_true.len()].into());
                    prop_assert_eq!(passes, BooleanArray::from(is_true));
                }
            }
            let all = found.iter().flatten().zip(expected.iter().flatten());
            for (found, expected) in all.filter(|(found, _)| !found.is_empty()) {
                prop_assert_eq!(&concatenated(found).unwrap(), &concatenated(expected).unwrap());
            }
        }
    }

    #[test]
    fn small_values_take_few_bytes() {
        let bytes_of_a_value = |value: i128| {
            let mut column = Column::new(DataType::Decimal128(38, 4), 1);
            let values: Decimal128Array = std::iter::repeat_n(Some(value), 1 << 10).collect();
            let values: ArrayRef = Arc::new(values.with_precision_and_scale(38, 4).unwrap());
            column.add(&values, &Ways::to(&[0; 1 << 10], 1)).unwrap();
            column.take(0).size() >> 10
        };
        let values = [0, 1, -1, 1 << 31, -(1 << 31), (1 << 31) - 1, 1 << 63, i128::from(i64::MIN)];
        assert_eq!(values.map(bytes_of_a_value), [0, 4, 4, 8, 4, 4, 16, 8]);
    }
}
