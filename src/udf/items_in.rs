//! `items_in(items, set)`: how many items of an itemset are in a set.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, AsArray, Int64Array};
use datafusion::arrow::datatypes::{DataType, Field, UInt32Type};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, DocSection, Documentation, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use super::shared::{one_list, one_list_type};

static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        DocSection::default(),
        "How many items of an itemset are in a set; none are in a null set.",
        "items_in(items, set)",
    )
    .with_argument("items", "A list of item codes.")
    .with_argument("set", "A list of item codes, one for all rows: (SELECT shared(...) ...).")
    .build()
});

#[derive(Debug, PartialEq, Eq, Hash)]
pub struct ItemsIn {
    signature: Signature,
}

impl Default for ItemsIn {
    fn default() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for ItemsIn {
    fn name(&self) -> &'static str {
        "items_in"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let [_, set] = arg_types else {
            return plan_err!("items_in takes two lists, not {} arguments", arg_types.len());
        };
        let items = DataType::List(Arc::new(Field::new_list_field(DataType::UInt32, true)));
        Ok(vec![items, one_list_type(set, DataType::UInt32)])
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let mut is_in = Vec::new();
        if let Some(set) = one_list(self.name(), &args.args[1])? {
            let set = set.as_primitive::<UInt32Type>().values();
            is_in.resize(set.iter().max().map_or(0, |most| *most as usize + 1), false);
            set.iter().for_each(|item| is_in[*item as usize] = true);
        }

        let lists = args.args[0].to_array(args.number_rows)?;
        let lists = lists.as_list::<i32>();
        let items = lists.values().as_primitive::<UInt32Type>().values();
        let count = |items: &[u32]| {
            items.iter().filter(|item| is_in.get(**item as usize).is_some_and(|is_in| *is_in)).count()
        };
        let counts: Int64Array = (0..lists.len())
            .map(|row| {
                let bounds = lists.value_offsets()[row] as usize..lists.value_offsets()[row + 1] as usize;
                lists.is_valid(row).then(|| count(&items[bounds]) as i64)
            })
            .collect();
        Ok(ColumnarValue::Array(Arc::new(counts)))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&DOCUMENTATION)
    }
}
