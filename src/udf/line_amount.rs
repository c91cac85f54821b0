//! `line_amount(quantity, unit_price)`: what a line comes to, exactly.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{AsArray, Decimal128Array};
use datafusion::arrow::compute::binary;
use datafusion::arrow::datatypes::{DataType, Decimal128Type, Int32Type, Int64Type};
use datafusion::common::{Result, internal_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, DocSection, Documentation, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

/// Prices, and quantities with a fraction, may have no more digits: then no product is too large.
const DIGITS: u8 = 18;
const SCALE: i8 = 4;
pub const LINE_AMOUNT: &str = "line_amount";
const MONEY: DataType = DataType::Decimal128(38, SCALE);
const FACTOR: DataType = DataType::Decimal128(DIGITS, SCALE);

static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        DocSection::default(),
        "Quantity times price as decimal(38,4), rounded half away from zero; null where either is. It is what the decimals' own \
         product and cast give, in one pass over the lines instead of four.",
        "line_amount(quantity, unit_price)",
    )
    .with_argument("quantity", "A whole number, or a decimal(18,4).")
    .with_argument("unit_price", "A decimal of up to 18 digits, up to 4 of them after the point.")
    .build()
});

#[derive(Debug, PartialEq, Eq, Hash)]
pub struct LineAmount {
    signature: Signature,
}

impl Default for LineAmount {
    fn default() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

/// Whether prices of a type are multiplied as they are: those that are all prices of ours.
#[must_use]
pub fn takes_price(data_type: &DataType) -> bool {
    let most = DIGITS - SCALE.unsigned_abs();
    matches!(data_type, DataType::Decimal128(digits, scale @ 0..=SCALE) if digits - scale.unsigned_abs() <= most)
}

/// Whether quantities of a type are multiplied as they are.
#[must_use]
pub fn takes_quantity(data_type: &DataType) -> bool {
    data_type.is_integer() && *data_type != DataType::UInt64
}

#[must_use]
pub fn line_amount(quantity: Expr, unit_price: Expr) -> Expr {
    ScalarUDF::from(LineAmount::default()).call(vec![quantity, unit_price])
}

impl ScalarUDFImpl for LineAmount {
    fn name(&self) -> &'static str {
        LINE_AMOUNT
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let [quantity, price] = arg_types else {
            return plan_err!("line_amount takes a quantity and a unit price");
        };
        let quantity = match quantity {
            // as they mostly come: no need to widen them first
            DataType::Int32 => DataType::Int32,
            whole if takes_quantity(whole) => DataType::Int64,
            _ => FACTOR,
        };
        Ok(vec![quantity, if takes_price(price) { price.clone() } else { FACTOR }])
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(MONEY)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let quantities = args.args[0].to_array(args.number_rows)?;
        let prices = args.args[1].to_array(args.number_rows)?;
        let DataType::Decimal128(_, scale @ 0..=SCALE) = *prices.data_type() else {
            return internal_err!("line_amount takes no prices of type {}", prices.data_type());
        };
        let prices = prices.as_primitive::<Decimal128Type>();
        let to_scale = 10_i64.pow((SCALE - scale).unsigned_abs().into());
        // numbers of 18 digits: none is changed but those that stand where nothing is
        let product = |quantity: i64, price: i128| {
            i128::from(quantity) * i128::from((price as i64).wrapping_mul(to_scale))
        };
        let amounts: Decimal128Array = match quantities.data_type() {
            DataType::Int32 => {
                let quantities = quantities.as_primitive::<Int32Type>();
                binary(quantities, prices, |quantity, price| product(quantity.into(), price))?
            }
            DataType::Int64 => binary(quantities.as_primitive::<Int64Type>(), prices, product)?,
            _ => {
                let quantities = quantities.as_primitive::<Decimal128Type>();
                binary(quantities, prices, |quantity, price| rounded(product(quantity as i64, price)))?
            }
        };
        Ok(ColumnarValue::Array(Arc::new(amounts.with_data_type(MONEY))))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&DOCUMENTATION)
    }
}

/// A product of two numbers of four digits after the point, with as many, rounded half away from zero.
fn rounded(product: i128) -> i128 {
    const UNIT: i128 = 10_i128.pow(SCALE.unsigned_abs() as u32);
    (product + product.signum() * (UNIT / 2)) / UNIT
}
