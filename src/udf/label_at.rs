//! `label_at(number, labels)`: the label at a place of a list.

use std::sync::LazyLock;

use datafusion::arrow::array::{Array, AsArray, new_null_array};
use datafusion::arrow::compute::{max, min, take};
use datafusion::arrow::datatypes::{DataType, Int64Type, UInt64Type};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, DocSection, Documentation, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use super::shared::{one_list, one_list_type};

static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        DocSection::default(),
        "The label at a place of a list, from 1. A join to a table of labels says the same, and copies all other columns of every row.",
        "label_at(number, labels)",
    )
    .with_argument("number", "The place of the label; null has none, and one outside the list is an error.")
    .with_argument("labels", "The labels, one list for all rows: (SELECT shared(...) ...).")
    .with_sql_example("SELECT label_at(group_number, (SELECT shared(loyalty_groups) FROM score_label)) FROM grouped")
    .build()
});

#[derive(Debug, PartialEq, Eq, Hash)]
pub struct LabelAt {
    signature: Signature,
}

impl Default for LabelAt {
    fn default() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for LabelAt {
    fn name(&self) -> &'static str {
        "label_at"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let [_, labels] = arg_types else {
            return plan_err!("label_at takes a number and a list, not {} arguments", arg_types.len());
        };
        Ok(vec![DataType::Int64, one_list_type(labels, DataType::Utf8)])
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let numbers = args.args[0].to_array(args.number_rows)?;
        let numbers = numbers.as_primitive::<Int64Type>();
        let Some(labels) = one_list(self.name(), &args.args[1])? else {
            return Ok(ColumnarValue::Array(new_null_array(&DataType::Utf8, args.number_rows)));
        };
        let places = 1..=labels.len() as i64;
        if let Some(outside) =
            [min(numbers), max(numbers)].into_iter().flatten().find(|number| !places.contains(number))
        {
            return exec_err!("label_at: there is no label {outside} among {}", labels.len());
        }
        let places = numbers.unary::<_, UInt64Type>(|number| number.wrapping_sub(1).cast_unsigned());
        Ok(ColumnarValue::Array(take(&labels, &places, None)?))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&DOCUMENTATION)
    }
}
