//! `value_range(value)`: the narrow range that a number lies in.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use datafusion::arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, DocSection, Documentation, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

/// The lower bits of a double that do not tell its range: there are 256 ranges from a number to its double.
const WITHIN_A_RANGE: u32 = 44;

static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        DocSection::default(),
        "The number of the range that a value lies in, of 256 from each number to its double. Ranges have the order of their values, so \
         what is placed range by range, side by side, is placed among all by how many lie in the ranges before.",
        "value_range(value)",
    )
    .with_argument("value", "A whole number, a decimal or a double; null has no range.")
    .with_sql_example("SELECT value_range(amount), count(*) FROM line GROUP BY value_range(amount)")
    .build()
});

#[derive(Debug, PartialEq, Eq, Hash)]
pub struct ValueRange {
    signature: Signature,
}

impl Default for ValueRange {
    fn default() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for ValueRange {
    fn name(&self) -> &'static str {
        "value_range"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let [value] = arg_types else {
            return plan_err!("value_range takes a value, not {} arguments", arg_types.len());
        };
        Ok(vec![number_type(self.name(), value)?])
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let values = args.args[0].to_array(args.number_rows)?;
        Ok(ColumnarValue::Array(Arc::new(ranges(&values))))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&DOCUMENTATION)
    }
}

/// The type that a number is taken as: `Int64`, a decimal as it is, or `Float64`.
///
/// # Errors
/// When the argument is no number, or none of those.
pub fn number_type(function: &str, argument: &DataType) -> Result<DataType> {
    match argument {
        whole if whole.is_integer() && *whole != DataType::UInt64 => Ok(DataType::Int64),
        DataType::Decimal128(_, _) => Ok(argument.clone()),
        float if float.is_floating() || float.is_null() => Ok(DataType::Float64),
        other => plan_err!("{function} takes a whole number, a decimal or a double, not {other}"),
    }
}

/// The range of each value of a [`number_type`].
fn ranges(values: &ArrayRef) -> Int64Array {
    match values.data_type() {
        DataType::Int64 => values.as_primitive::<Int64Type>().unary(|value| range_of(value as f64)),
        DataType::Float64 => values.as_primitive::<Float64Type>().unary(range_of),
        _ => values.as_primitive::<Decimal128Type>().unary(range_of_whole),
    }
}

/// The range of a number. What is rounded to a double keeps its order.
#[must_use]
pub fn range_of(value: f64) -> i64 {
    ordered_bits(value) >> WITHIN_A_RANGE
}

/// The range of a whole number, or of the digits of a decimal.
#[must_use]
pub fn range_of_whole(value: i128) -> i64 {
    // numbers of 64 bits are rounded by an instruction, others by a routine
    range_of(i64::try_from(value).map_or(value as f64, |value| value as f64))
}

/// A whole number whose order among others is that of the doubles; the two zeros are one.
#[must_use]
pub fn ordered_bits(value: f64) -> i64 {
    let bits = (value + 0.0).to_bits().cast_signed();
    bits ^ ((bits >> 63).cast_unsigned() >> 1).cast_signed()
}

/// The double of [`ordered_bits`].
#[must_use]
pub fn double_of(ordered: i64) -> f64 {
    f64::from_bits((ordered ^ ((ordered >> 63).cast_unsigned() >> 1).cast_signed()).cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOUBLES: [f64; 9] =
        [f64::NEG_INFINITY, -1e300, -1.5, -f64::MIN_POSITIVE, 0.0, 5e-324, 0.1, 2.0, f64::INFINITY];

    #[test]
    fn doubles_keep_their_order_and_come_back() {
        assert!(DOUBLES.map(ordered_bits).is_sorted_by(|a, b| a < b));
        for double in DOUBLES {
            assert_eq!(double_of(ordered_bits(double)).to_bits(), double.to_bits());
        }
        assert_eq!(ordered_bits(-0.0), ordered_bits(0.0));
    }

    #[test]
    fn ranges_keep_the_order_and_are_narrow() {
        assert!(DOUBLES.map(range_of).is_sorted());
        assert_eq!(range_of(2048.0) - range_of(1024.0), 256);
        assert_eq!(range_of(1024.0), range_of(1027.9));
        assert_eq!(range_of(-2048.0) - range_of(-1024.0), -256);
    }
}
