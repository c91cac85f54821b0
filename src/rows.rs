//! Rows in memory, and rows in the shape of a schema.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, UInt64Array};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::compute::{cast, take};
use datafusion::arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;

use crate::error::Result;

/// Rows in memory.
#[derive(Debug, Clone)]
pub struct Rows {
    pub schema: SchemaRef,
    pub batches: Vec<RecordBatch>,
}

impl Rows {
    #[must_use]
    pub fn count(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// Bytes in memory, of no more than the rows themselves: batches may be slices of larger ones.
    ///
    /// # Errors
    /// When an array is damaged.
    pub fn size(&self) -> Result<usize> {
        let columns = self.batches.iter().flat_map(RecordBatch::columns);
        Ok(columns
            .map(|column| column.to_data().get_slice_memory_size())
            .sum::<Result<usize, ArrowError>>()?)
    }

    /// The one integer of a relation of one row and column; 0 where there is no row, as when explaining.
    #[must_use]
    pub fn single_count(&self) -> i64 {
        self.integer(0)
    }

    /// The same of a column of several.
    ///
    /// # Errors
    /// When there is no such column.
    pub fn single_value(&self, column: &str) -> Result<i64> {
        Ok(self.integer(self.schema.index_of(column)?))
    }

    fn integer(&self, column: usize) -> i64 {
        let first = self.batches.iter().find(|batch| batch.num_rows() > 0);
        first.map_or(0, |batch| batch.column(column).as_primitive::<Int64Type>().value(0))
    }
}

/// The batch with a schema's names and types, cast where they differ.
///
/// # Errors
/// When a column cannot be cast, or is null where the schema says that it cannot be.
pub fn with_schema(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = schema
        .fields()
        .iter()
        .zip(batch.columns())
        .map(|(field, column)| Ok(cast(&compacted(column)?, field.data_type())?))
        .collect::<Result<Vec<_>>>()?;
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

/// A nested column with no more values than its rows refer to. The engine hands out slices that share the values of all
/// rows; casting or joining such slices would copy all values for each. Of a list that is one slice of the values.
fn compacted(column: &ArrayRef) -> Result<ArrayRef> {
    let Some(lists) = column.as_list_opt::<i32>() else {
        if !column.data_type().is_nested() {
            return Ok(Arc::clone(column));
        }
        return Ok(take(column, &UInt64Array::from_iter_values(0..column.len() as u64), None)?);
    };
    let DataType::List(field) = column.data_type() else { return Ok(Arc::clone(column)) };
    let (first, last) = (lists.offsets()[0], lists.offsets()[lists.len()]);
    let offsets = lists.offsets().iter().map(|offset| offset - first).collect();
    let values = lists.values().slice(first as usize, (last - first) as usize);
    Ok(Arc::new(ListArray::try_new(
        Arc::clone(field),
        OffsetBuffer::new(offsets),
        values,
        lists.nulls().cloned(),
    )?))
}

/// The schema with every field nullable, so that relations of the same columns have the same schema.
#[must_use]
pub fn all_nullable(schema: &Schema) -> SchemaRef {
    fn nullable(field: &Field) -> Field {
        let data_type = match field.data_type() {
            DataType::List(item) => {
                DataType::List(Arc::new(Field::new_list_field(nullable(item).data_type().clone(), true)))
            }
            other => other.clone(),
        };
        Field::new(field.name(), data_type, true)
    }
    Arc::new(Schema::new(schema.fields().iter().map(|field| nullable(field)).collect::<Vec<_>>()))
}
