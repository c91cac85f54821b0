//! `bucket(value, buckets)`: one of so many buckets, the same for equal values.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{AsArray, Int64Array};
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::common::hash_utils::create_hashes;
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, DocSection, Documentation, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::physical_plan::joins::SeededRandomState;

static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        DocSection::default(),
        "A number from 0 that is the same for equal values: what is counted bucket by bucket, side by side, adds up to the whole. Which bucket a \
         value falls into may change with the version.",
        "bucket(value, buckets)",
    )
    .with_argument("value", "An integer or a string.")
    .with_argument("buckets", "How many buckets there are.")
    .build()
});

/// Other seeds than the exchange's: a bucket's rows would come from few of its partitions otherwise.
const HASH: SeededRandomState = SeededRandomState::with_seed(0x6275_636b);

#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Bucket {
    signature: Signature,
}

impl Default for Bucket {
    fn default() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Bucket {
    fn name(&self) -> &'static str {
        "bucket"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        match arg_types {
            [value, buckets] if buckets.is_integer() => Ok(vec![value.clone(), DataType::Int64]),
            _ => plan_err!("bucket takes a value and a number of buckets"),
        }
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let value = args.args[0].to_array(args.number_rows)?;
        let buckets = args.args[1].to_array(args.number_rows)?;
        let mut hashes = vec![0; args.number_rows];
        create_hashes([&value], HASH.random_state(), &mut hashes)?;
        let buckets = buckets.as_primitive::<Int64Type>().values();
        if buckets.iter().any(|buckets| *buckets < 1) {
            return exec_err!("bucket takes a number of buckets above 0");
        }
        let numbers = hashes.iter().zip(buckets);
        let numbers: Int64Array =
            numbers.map(|(hash, buckets)| Some((hash % buckets.cast_unsigned()).cast_signed())).collect();
        Ok(ColumnarValue::Array(Arc::new(numbers)))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&DOCUMENTATION)
    }
}
