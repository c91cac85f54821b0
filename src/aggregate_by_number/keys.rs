//! Keys of which the first is an integer of up to 64 bits: groups by that and a code, which stands for all others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array, new_null_array,
};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::compute::{cast, take};
use datafusion::arrow::datatypes::{DataType, Int64Type, Schema};
use datafusion::arrow::row::{RowConverter, Rows, SortField};
use datafusion::common::Result;
use datafusion::physical_expr::PhysicalExpr;

use super::share::Share;
use crate::grouped_aggregate::values_of;

/// Up to so many groups or combinations there may be before the rows that wait, for numbers of 32 bits to suffice.
pub(super) const MOST: usize = 1 << 30;

/// Whether keys can be told apart here: an integer that 64 bits hold with its sign, then what is equal only where all its bits are.
pub(super) fn are_supported(keys: &[DataType]) -> bool {
    let is_simple = |key: &DataType| {
        key.is_integer()
            || key.is_temporal()
            || key.is_decimal()
            || key.is_string()
            || matches!(key, DataType::Boolean | DataType::Null)
    };
    let is_number = |key: &DataType| key.is_integer() && *key != DataType::UInt64;
    keys.first().is_some_and(is_number) && keys.iter().all(is_simple)
}

/// What decides the group of a row: a number, and a code, which is twice that of the other keys, and one more where there is no number.
pub(super) struct Keys {
    expressions: Vec<Arc<dyn PhysicalExpr>>,
    number_type: DataType,
    others: Mutex<Combinations>,
}

impl Keys {
    pub(super) fn try_new(
        expressions: Vec<Arc<dyn PhysicalExpr>>,
        input: &Schema,
        share: Share,
    ) -> Result<Self> {
        let number_type = expressions[0].data_type(input)?;
        let types = expressions[1..].iter().map(|key| key.data_type(input)).collect::<Result<_>>()?;
        let others = Mutex::new(Combinations::try_new(types, share)?);
        Ok(Self { expressions, number_type, others })
    }

    /// The numbers and the codes of the rows of a batch.
    pub(super) fn of(&self, batch: &RecordBatch) -> Result<(ArrayRef, ArrayRef)> {
        let keys = self.expressions.iter().map(|key| values_of(key, batch)).collect::<Result<Vec<_>>>()?;
        let mut codes = vec![0; batch.num_rows()];
        // for all tasks are to agree
        if keys[1..].iter().any(|values| values.logical_null_count() < values.len()) {
            self.others().codes(&keys[1..], &mut codes)?;
        }
        let mut numbers = cast(&keys[0], &DataType::Int64)?;
        if numbers.null_count() > 0 {
            for (row, code) in codes.iter_mut().enumerate() {
                *code += u32::from(numbers.is_null(row));
            }
            let or_zero = numbers.as_primitive::<Int64Type>().iter().map(Option::unwrap_or_default);
            numbers = Arc::new(or_zero.collect::<Int64Array>());
        }
        Ok((numbers, Arc::new(UInt32Array::from(codes))))
    }

    /// The keys of groups.
    pub(super) fn columns(&self, numbers: Vec<i64>, codes: Vec<u32>) -> Result<Vec<ArrayRef>> {
        let is_number: NullBuffer = codes.iter().map(|code| code % 2 == 0).collect();
        let is_number = Some(is_number).filter(|is_number| is_number.null_count() > 0);
        let numbers = cast(&Int64Array::new(numbers.into(), is_number), &self.number_type)?;
        let of_others: UInt32Array = codes.into_iter().map(|code| code / 2).collect();
        let mut columns: Vec<ArrayRef> = vec![numbers];
        for values in self.others().columns()? {
            columns.push(take(values, &of_others, None)?);
        }
        Ok(columns)
    }

    /// Whether there are codes for another batch.
    pub(super) fn has_room(&self) -> bool {
        self.others().known.len() <= MOST
    }

    fn others(&self) -> MutexGuard<'_, Combinations> {
        self.others.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Codes for combinations of values, such as the reasons to leave a line out: 0 where all are null, which most are.
struct Combinations {
    types: Vec<DataType>,
    converter: RowConverter,
    /// Those seen, as bytes, by code, and the code by those.
    known: Vec<Arc<[u8]>>,
    codes: HashMap<Arc<[u8]>, u32>,
    /// Bytes of those seen.
    bytes: usize,
    /// The values of those seen, by code, once they are asked for.
    columns: Vec<ArrayRef>,
    /// Of a batch.
    rows: Rows,
    share: Share,
}

impl Combinations {
    fn try_new(types: Vec<DataType>, share: Share) -> Result<Self> {
        let converter = RowConverter::new(types.iter().cloned().map(SortField::new).collect())?;
        let rows = converter.empty_rows(0, 0);
        let mut combinations = Self {
            types,
            converter,
            known: Vec::new(),
            codes: HashMap::new(),
            bytes: 0,
            columns: Vec::new(),
            rows,
            share,
        };
        // of one row, so that its code is the first
        let nulls: Vec<_> = combinations.types.iter().map(|of| new_null_array(of, 1)).collect();
        combinations.codes_of(&nulls, &[0], &mut [0])?;
        Ok(combinations)
    }

    /// Writes twice the code of each row that is not all null.
    fn codes(&mut self, values: &[ArrayRef], codes: &mut [u32]) -> Result<()> {
        let rows = codes.len();
        let is_told = |row: &u32| values.iter().any(|values| values.is_valid(*row as usize));
        let told: Vec<u32> = (0..rows as u32).filter(is_told).collect();
        if told.len() == rows {
            return self.codes_of(values, &told, codes);
        }
        let at = UInt32Array::from(told.clone());
        let values: Vec<_> = values.iter().map(|values| take(values, &at, None)).collect::<Result<_, _>>()?;
        self.codes_of(&values, &told, codes)
    }

    /// Writes twice the code of each row where it is to stand.
    fn codes_of(&mut self, values: &[ArrayRef], places: &[u32], codes: &mut [u32]) -> Result<()> {
        if values.is_empty() {
            return Ok(());
        }
        self.rows.clear();
        self.converter.append(&mut self.rows, values)?;
        let mut latest: Option<(&[u8], u32)> = None;
        for (place, row) in places.iter().zip(&self.rows) {
            let row = row.data();
            let code = match latest {
                Some((same, code)) if same == row => code,
                _ => self.codes.get(row).copied().unwrap_or_else(|| {
                    let code = self.known.len() as u32;
                    let combination: Arc<[u8]> = row.into();
                    self.bytes += row.len();
                    self.known.push(Arc::clone(&combination));
                    self.codes.insert(combination, code);
                    code
                }),
            };
            latest = Some((row, code));
            codes[*place as usize] = 2 * code;
        }
        self.share.resize(self.size());
        Ok(())
    }

    /// The values of each combination, by code.
    fn columns(&mut self) -> Result<&[ArrayRef]> {
        let is_told = self.columns.first().is_none_or(|column| column.len() == self.known.len());
        if !self.types.is_empty() && (!is_told || self.columns.is_empty()) {
            let parser = self.converter.parser();
            self.columns = self.converter.convert_rows(self.known.iter().map(|row| parser.parse(row)))?;
            self.share.resize(self.size());
        }
        Ok(&self.columns)
    }

    /// Bytes on the heap.
    fn size(&self) -> usize {
        /// An `Arc` and what it counts, in the list, in the map with its code, and beside the bytes.
        const EACH: usize = 5 * size_of::<Arc<[u8]>>();
        let columns: usize = self.columns.iter().map(Array::get_array_memory_size).sum();
        self.rows.size() + self.converter.size() + self.bytes + self.known.capacity() * EACH + columns
    }
}
