//! `log_scaled` and `normal_scaled`: a number's place among others, between 0 and 1.

use std::f64::consts::FRAC_1_SQRT_2;
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, Float64Array};
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, DocSection, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

/// Logarithms and the error function are those of `libm`, which compute alike on every platform.
type Scaling = fn(f64, f64, f64) -> Option<f64>;

fn log_scaled(value: f64, least: f64, most: f64) -> Option<f64> {
    (most > least).then(|| libm::log1p(value - least) / libm::log1p(most - least))
}

fn normal_scaled(value: f64, mean: f64, deviation: f64) -> Option<f64> {
    (deviation > 0.0).then(|| libm::erfc((mean - value) / deviation * FRAC_1_SQRT_2) / 2.0)
}

#[derive(Debug)]
struct ScalingFunction {
    name: &'static str,
    scaling: Scaling,
    signature: Signature,
    documentation: Documentation,
}

impl PartialEq for ScalingFunction {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for ScalingFunction {}

impl std::hash::Hash for ScalingFunction {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

/// Both functions.
pub fn functions() -> impl Iterator<Item = ScalarUDF> {
    let document = |description: &str, syntax: &str, arguments: [&str; 2], example: &str| {
        let [second, third] = arguments.map(|argument| argument.split_once(": ").unwrap_or((argument, "")));
        Documentation::builder(DocSection::default(), description, syntax)
            .with_argument("value", "A number.")
            .with_argument(second.0, second.1)
            .with_argument(third.0, third.1)
            .with_sql_example(example)
            .build()
    };
    let log = document(
        "ln(1 + value - least) / ln(1 + most - least): a value between the least and the most, where differences count for less the \
         further they are from the least. Null where least and most are equal.",
        "log_scaled(value, least, most)",
        ["least: The least value.", "most: The most."],
        "SELECT log_scaled(orders, 1, 100)",
    );
    let normal = document(
        "The share of a normal distribution that lies below a value: 0.5 at the mean, 0.841 one deviation above it. Null where the \
         deviation is 0.",
        "normal_scaled(value, mean, deviation)",
        ["mean: The mean.", "deviation: The standard deviation."],
        "SELECT normal_scaled(monetary, 120.0, 35.5)",
    );
    [("log_scaled", log_scaled as Scaling, log), ("normal_scaled", normal_scaled, normal)].into_iter().map(
        |(name, scaling, documentation)| {
            ScalarUDF::from(ScalingFunction {
                name,
                scaling,
                signature: Signature::exact(vec![DataType::Float64; 3], Volatility::Immutable),
                documentation,
            })
        },
    )
}

impl ScalarUDFImpl for ScalingFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let numbers: Vec<_> = arrays.iter().map(AsArray::as_primitive::<Float64Type>).collect();
        let scaled: Float64Array = (0..arrays[0].len())
            .map(|row| {
                numbers.iter().all(|numbers| numbers.is_valid(row)).then_some(())?;
                let [value, second, third] = [0, 1, 2].map(|place| numbers[place].value(row));
                (self.scaling)(value, second, third)
            })
            .collect();
        Ok(ColumnarValue::Array(Arc::new(scaled)))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_placed_between_their_ends() {
        assert_eq!(log_scaled(1.0, 1.0, 8.0), Some(0.0));
        assert_eq!(log_scaled(8.0, 1.0, 8.0), Some(1.0));
        // ln 2 / ln 8
        assert!((log_scaled(2.0, 1.0, 8.0).unwrap() - 1.0 / 3.0).abs() < 1e-15);
        assert_eq!(log_scaled(3.0, 3.0, 3.0), None);
    }

    #[test]
    fn shares_of_the_normal_distribution_are_those_of_its_tables() {
        assert_eq!(normal_scaled(7.0, 7.0, 2.0), Some(0.5));
        for (deviations, share) in
            [(1.0, 0.841_344_746_068_542_9), (-1.96, 0.024_997_895_148_220_43), (3.0, 0.998_650_101_968_37)]
        {
            assert!((normal_scaled(deviations, 0.0, 1.0).unwrap() - share).abs() < 1e-14);
        }
        assert_eq!(normal_scaled(1.0, 1.0, 0.0), None);
    }
}
