//! `shared(list)`: a list that many rows refer to and none copies, and how the other functions read it.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, Int32Array};
use datafusion::arrow::datatypes::{DataType, Field, Int32Type};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, DocSection, Documentation, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        DocSection::default(),
        "A list in a form that is cheap to repeat: the engine may repeat the value of a subquery for every row, and this way it \
         repeats a number. For the functions that take one list for all rows.",
        "shared(list)",
    )
    .with_argument("list", "A list.")
    .with_sql_example("SELECT item_ids(items, (SELECT shared(array_agg(item_id ORDER BY item_number)) FROM item)) FROM itemset_support")
    .build()
});

#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Shared {
    signature: Signature,
}

impl Default for Shared {
    fn default() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Shared {
    fn name(&self) -> &'static str {
        "shared"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let [list @ DataType::List(_)] = arg_types else { return plan_err!("shared takes a list") };
        Ok(vec![list.clone()])
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        Ok(shared_type(arg_types[0].clone()))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match &args.args[0] {
            ColumnarValue::Scalar(value) => Ok(ColumnarValue::Scalar(ScalarValue::Dictionary(
                Box::new(DataType::Int32),
                Box::new(value.clone()),
            ))),
            ColumnarValue::Array(lists) => {
                let keys = Int32Array::from_iter_values(0..lists.len() as i32);
                Ok(ColumnarValue::Array(Arc::new(DictionaryArray::try_new(keys, Arc::clone(lists))?)))
            }
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&DOCUMENTATION)
    }
}

/// The type of a shared list.
pub fn shared_type(list: DataType) -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(list))
}

/// The type to ask of an argument that is one list for all rows.
pub fn one_list_type(given: &DataType, values: DataType) -> DataType {
    let list = DataType::List(Arc::new(Field::new_list_field(values, true)));
    match given {
        DataType::Dictionary(_, _) => shared_type(list),
        _ => list,
    }
}

/// The values of the first of some lists, shared or not; none when it is null.
pub fn first_list(lists: &ArrayRef) -> Result<Option<ArrayRef>> {
    let list = ScalarValue::try_from_array(lists, 0)?;
    let list = if let ScalarValue::Dictionary(_, list) = list { *list } else { list };
    match list {
        ScalarValue::List(list) => Ok(list.is_valid(0).then(|| list.value(0))),
        _ => Ok(None),
    }
}

/// The values of an argument that is one list for all rows; none when it is null.
pub fn one_list(function: &str, argument: &ColumnarValue) -> Result<Option<ArrayRef>> {
    match argument {
        ColumnarValue::Scalar(ScalarValue::Dictionary(_, value)) => {
            one_list(function, &ColumnarValue::Scalar(value.as_ref().clone()))
        }
        ColumnarValue::Scalar(ScalarValue::List(list)) => Ok(list.is_valid(0).then(|| list.value(0))),
        ColumnarValue::Array(lists) if matches!(lists.data_type(), DataType::Dictionary(_, _)) => {
            let lists = lists.as_dictionary::<Int32Type>();
            let keys = lists.keys();
            let values = lists.values().as_list::<i32>();
            let first = keys.values().first().map(|key| *key as usize);
            // batches that were put together each bring the list
            let mut others = keys.values().windows(2).filter(|pair| pair[0] != pair[1]);
            let is_other =
                |key: i32| first.is_some_and(|first| values.value(key as usize) != values.value(first));
            if keys.null_count() > 0 || others.any(|pair| is_other(pair[1])) {
                return exec_err!("{function} takes one list for all rows");
            }
            Ok(first.filter(|first| values.is_valid(*first)).map(|first| values.value(first)))
        }
        _ => exec_err!("{function} takes one list for all rows: write (SELECT shared(...) ...)"),
    }
}
