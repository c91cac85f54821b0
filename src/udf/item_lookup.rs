//! `item_numbers(items, numbers)` and `item_ids(items, ids)`: what stands for each item code of an itemset.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, ListArray, StringBuilder, UInt32Array, new_empty_array,
};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field, UInt32Type};
use datafusion::common::{Result, exec_datafusion_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, DocSection, Documentation, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use super::shared::{one_list, one_list_type};

static NUMBERS_DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        DocSection::default(),
        "The items of an itemset renumbered, in ascending order: an item is replaced by the number at its place.",
        "item_numbers(items, numbers)",
    )
    .with_argument("items", "A list of item codes.")
    .with_argument("numbers", "The new numbers in the order of the codes: one list for all rows: (SELECT shared(...) ...).")
    .build()
});

static IDS_DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        DocSection::default(),
        "The ids of the items of an itemset, in its order: the id at the place that is the item's code.",
        "item_ids(items, ids)",
    )
    .with_argument("items", "A list of item codes.")
    .with_argument(
        "ids",
        "The ids in the order of the codes: one list for all rows: (SELECT shared(...) ...).",
    )
    .build()
});

/// What a function puts in the place of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum By {
    Number,
    Id,
}

#[derive(Debug, PartialEq, Eq, Hash)]
pub struct ItemLookup {
    by: By,
    signature: Signature,
}

impl ItemLookup {
    pub fn numbers() -> Self {
        Self { by: By::Number, signature: Signature::user_defined(Volatility::Immutable) }
    }

    pub fn ids() -> Self {
        Self { by: By::Id, signature: Signature::user_defined(Volatility::Immutable) }
    }

    fn value_type(&self) -> DataType {
        match self.by {
            By::Number => DataType::UInt32,
            By::Id => DataType::Utf8,
        }
    }
}

fn list_of(values: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(values, true)))
}

impl ScalarUDFImpl for ItemLookup {
    fn name(&self) -> &'static str {
        match self.by {
            By::Number => "item_numbers",
            By::Id => "item_ids",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let [_, table] = arg_types else {
            return plan_err!("{} takes two lists, not {} arguments", self.name(), arg_types.len());
        };
        Ok(vec![list_of(DataType::UInt32), one_list_type(table, self.value_type())])
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(list_of(self.value_type()))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let table = one_list(self.name(), &args.args[1])?;
        let items = args.args[0].to_array(args.number_rows)?;
        let items = items.as_list::<i32>();
        let (first, last) = (items.value_offsets()[0] as usize, items.value_offsets()[items.len()] as usize);
        let codes = &items.values().as_primitive::<UInt32Type>().values()[first..last];
        let offsets = OffsetBuffer::from_lengths(items.offsets().lengths());
        let table = table.unwrap_or_else(|| new_empty_array(&self.value_type()));
        let values: ArrayRef = match self.by {
            By::Number => Arc::new(renumbered(codes, &offsets, table.as_primitive::<UInt32Type>().values())?),
            By::Id => {
                let ids = table.as_string::<i32>();
                let mut values = StringBuilder::with_capacity(codes.len(), codes.len() * 8);
                for &code in codes {
                    if code as usize >= ids.len() {
                        return Err(unknown(code));
                    }
                    values.append_value(ids.value(code as usize));
                }
                Arc::new(values.finish())
            }
        };
        let field = Arc::new(Field::new_list_field(self.value_type(), true));
        Ok(ColumnarValue::Array(Arc::new(ListArray::try_new(
            field,
            offsets,
            values,
            items.nulls().cloned(),
        )?)))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(match self.by {
            By::Number => &NUMBERS_DOCUMENTATION,
            By::Id => &IDS_DOCUMENTATION,
        })
    }
}

fn renumbered(codes: &[u32], offsets: &OffsetBuffer<i32>, numbers: &[u32]) -> Result<UInt32Array> {
    let number = |code: &u32| numbers.get(*code as usize).copied().ok_or_else(|| unknown(*code));
    let mut values = codes.iter().map(number).collect::<Result<Vec<u32>>>()?;
    for bounds in offsets.windows(2) {
        values[bounds[0] as usize..bounds[1] as usize].sort_unstable();
    }
    Ok(values.into())
}

fn unknown(code: u32) -> datafusion::common::DataFusionError {
    exec_datafusion_err!("there is no item with the code {code}")
}
