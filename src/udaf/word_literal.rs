//! Numbers as a literal of a query: how the driver hands an aggregate what it worked out.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, exec_err};

/// Little-endian words. In a dictionary of one value, because the engine repeats a literal for every row, and this way it
/// repeats a key.
#[must_use]
pub fn encode(words: impl Iterator<Item = u32>) -> ScalarValue {
    let bytes: Vec<u8> = words.flat_map(u32::to_le_bytes).collect();
    ScalarValue::Dictionary(Box::new(DataType::Int32), Box::new(ScalarValue::Binary(Some(bytes))))
}

/// The type of what [`encode`] makes.
#[must_use]
pub fn data_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Binary))
}

/// Reads what [`encode`] wrote.
///
/// # Errors
/// When it is something else.
pub fn decode(value: &ScalarValue) -> Result<Vec<u32>> {
    let bytes = match value {
        ScalarValue::Dictionary(_, value) => value.as_ref(),
        other => other,
    };
    let ScalarValue::Binary(Some(bytes)) = bytes else {
        return exec_err!("words are a literal that the driver encodes, not {}", value.data_type());
    };
    let (words, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return exec_err!("{} bytes are no words", bytes.len());
    }
    Ok(words.iter().map(|word| u32::from_le_bytes(*word)).collect())
}
