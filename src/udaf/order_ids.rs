//! Order ids as the numbers that `customer_orders` keeps in its sets.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, StringBuilder};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;

use super::interner::Interner;

/// How order ids become the numbers that sets hold: integers as their bits, strings by numbering them once for all groups (those
/// of groups already emitted stay numbered until the end).
#[derive(Debug)]
pub enum OrderIds {
    Integers,
    Strings(Interner),
}

impl OrderIds {
    pub fn new(data_type: &DataType) -> Self {
        if *data_type == DataType::Int64 { Self::Integers } else { Self::Strings(Interner::default()) }
    }

    /// The ids behind some numbers.
    pub fn ids(&self, numbers: &[u64]) -> Result<ArrayRef> {
        match self {
            Self::Integers => {
                Ok(Arc::new(numbers.iter().map(|number| Some(number.cast_signed())).collect::<Int64Array>()))
            }
            Self::Strings(strings) => {
                let mut ids = StringBuilder::new();
                for number in numbers {
                    ids.append_value(strings.text(*number as u32)?);
                }
                Ok(Arc::new(ids.finish()))
            }
        }
    }

    pub fn data_type(&self) -> DataType {
        match self {
            Self::Integers => DataType::Int64,
            Self::Strings(_) => DataType::Utf8,
        }
    }

    pub fn size(&self) -> usize {
        match self {
            Self::Integers => 0,
            Self::Strings(strings) => strings.size(),
        }
    }
}
