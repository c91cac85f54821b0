//! `part_number(parts, key, ...)`: which part of a table a row lies in, and the same of a batch.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{ArrayRef, AsArray, Int64Array};
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, DocSection, Documentation, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use sha2::{Digest, Sha256};

static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        DocSection::default(),
        "The part of a published table that a row lies in, from 0: by the SHA-256 of its key, so the same wherever and with whatever rows \
         it is computed.",
        "part_number(parts, key, ...)",
    )
    .with_argument("parts", "How many parts the table has.")
    .with_argument("key", "The columns of the table's key, in their order.")
    .build()
});

#[derive(Debug, PartialEq, Eq, Hash)]
pub struct PartNumber {
    signature: Signature,
}

impl Default for PartNumber {
    fn default() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for PartNumber {
    fn name(&self) -> &'static str {
        "part_number"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let [parts, key @ ..] = arg_types else {
            return plan_err!("part_number takes a number and the columns of a key");
        };
        if !parts.is_integer() || key.is_empty() {
            return plan_err!("part_number takes a number and the columns of a key");
        }
        Ok([DataType::Int64].into_iter().chain(key.iter().cloned()).collect())
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let columns = args
            .args
            .iter()
            .map(|argument| argument.to_array(args.number_rows))
            .collect::<Result<Vec<_>>>()?;
        let parts = columns[0].as_primitive::<Int64Type>();
        let Some(parts) = parts.values().first().copied().filter(|parts| *parts > 0) else {
            if args.number_rows == 0 {
                return Ok(ColumnarValue::Array(Arc::new(Int64Array::from(Vec::<i64>::new()))));
            }
            return exec_err!("part_number takes a number of parts above 0");
        };
        let numbers = part_numbers(&columns[1..], parts.cast_unsigned())?;
        Ok(ColumnarValue::Array(Arc::new(numbers)))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&DOCUMENTATION)
    }
}

/// For each row the part that its key hashes to.
///
/// # Errors
/// When the key's columns cannot be compared.
pub fn part_numbers(key: &[ArrayRef], parts: u64) -> Result<Int64Array> {
    let fields = key.iter().map(|column| SortField::new(column.data_type().clone())).collect();
    let encoded = RowConverter::new(fields)?.convert_columns(key)?;
    let number = |key: &[u8]| {
        let digest = Sha256::digest(key);
        let hash = digest.iter().take(8).fold(0_u64, |hash, byte| (hash << 8) | u64::from(*byte));
        (hash % parts).cast_signed()
    };
    Ok(encoded.iter().map(|key| Some(number(key.as_ref()))).collect())
}
