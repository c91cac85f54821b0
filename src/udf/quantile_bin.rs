//! `quantile_bin(value, values)`: the bin of a value between the edges that `quantile_edges` found.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, Int64Array};
use datafusion::arrow::compute::kernels::cmp::gt;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, DocSection, Documentation, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use super::shared::{one_list, one_list_type};

static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        DocSection::default(),
        "The bin of a value, from 1: one more than the inner edges that it lies above. Bins are (lower, upper], the first closed at \
         both ends, so equal values share a bin.",
        "quantile_bin(value, values)",
    )
    .with_argument("value", "What quantile_edges was given; null has no bin.")
    .with_argument("values", "The values of quantile_edges, one list for all rows: (SELECT shared(...) ...).")
    .with_sql_example(
        "SELECT quantile_bin(amount, (SELECT shared(quantile_edges(amount, 4)['values']) FROM line)) FROM line",
    )
    .build()
});

#[derive(Debug, PartialEq, Eq, Hash)]
pub struct QuantileBin {
    signature: Signature,
}

impl Default for QuantileBin {
    fn default() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for QuantileBin {
    fn name(&self) -> &'static str {
        "quantile_bin"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let [_, edges] = arg_types else {
            return plan_err!("quantile_bin takes a value and a list, not {} arguments", arg_types.len());
        };
        let list = if let DataType::Dictionary(_, list) = edges { list.as_ref() } else { edges };
        let DataType::List(field) = list else {
            return plan_err!("quantile_bin takes the values of quantile_edges, not {edges}");
        };
        Ok(vec![field.data_type().clone(), one_list_type(edges, field.data_type().clone())])
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let values = args.args[0].to_array(args.number_rows)?;
        let mut bins = vec![1_i64; values.len()];
        if let Some(edges) = one_list(self.name(), &args.args[1])? {
            for edge in 1..edges.len().saturating_sub(1) {
                let is_above = gt(&values, &ScalarValue::try_from_array(&edges, edge)?.to_scalar()?)?;
                bins.iter_mut()
                    .zip(is_above.values())
                    .for_each(|(bin, is_above)| *bin += i64::from(is_above));
            }
        }
        Ok(ColumnarValue::Array(Arc::new(Int64Array::new(bins.into(), values.nulls().cloned()))))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&DOCUMENTATION)
    }
}
