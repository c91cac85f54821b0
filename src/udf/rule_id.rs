//! `rule_id(antecedents, consequents)`: the same short name for the same rule, on every day and engine.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringArray};
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::{Result, exec_datafusion_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, DocSection, Documentation, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use sha2::{Digest, Sha256};

static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        DocSection::default(),
        "The first 16 hexadecimal digits of the SHA-256 of the JSON array [antecedents, consequents], written without \
         spaces.",
        "rule_id(antecedents, consequents)",
    )
    .with_argument("antecedents", "A sorted list of item ids.")
    .with_argument("consequents", "A sorted list of item ids.")
    .build()
});

#[derive(Debug, PartialEq, Eq, Hash)]
pub struct RuleId {
    signature: Signature,
}

impl Default for RuleId {
    fn default() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for RuleId {
    fn name(&self) -> &'static str {
        "rule_id"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        if arg_types.len() != 2 {
            return plan_err!("rule_id takes antecedents and consequents, not {} arguments", arg_types.len());
        }
        Ok(vec![DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true))); 2])
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let antecedents = arrays[0].as_list::<i32>();
        let consequents = arrays[1].as_list::<i32>();
        let ids: StringArray = (0..antecedents.len())
            .map(|row| {
                (antecedents.is_valid(row) && consequents.is_valid(row))
                    .then(|| rule_id(&antecedents.value(row), &consequents.value(row)))
                    .transpose()
            })
            .collect::<Result<_>>()?;
        Ok(ColumnarValue::Array(Arc::new(ids)))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&DOCUMENTATION)
    }
}

fn rule_id(antecedents: &ArrayRef, consequents: &ArrayRef) -> Result<String> {
    let sides: [Vec<Option<&str>>; 2] =
        [antecedents, consequents].map(|side| side.as_string::<i32>().iter().collect());
    let json =
        serde_json::to_vec(&sides).map_err(|error| exec_datafusion_err!("a rule is no JSON: {error}"))?;
    let digest = hex::encode(Sha256::digest(json));
    Ok(digest[..16].to_owned())
}
