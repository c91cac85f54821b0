//! `value_counts(id)`: how often each id occurs, fast where strings are short.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringBuilder, StructArray, make_view};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields, Int64Type};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, DocSection, Documentation, GroupsAccumulator, Signature, Volatility,
};
use hashbrown::HashMap;

use super::few_groups::{self, GroupState, id_type};
use super::interner::Interner;
use super::one_list;

/// A string view holds a string of up to so many bytes itself: equal views are equal strings.
const INLINE: u32 = 12;

static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        DocSection::default(),
        "How often each id occurs, as a list of structs of value and count, in no order, for few groups of many rows. Takes some \
         20 bytes of memory and a string's length for each different id.",
        "value_counts(id)",
    )
    .with_argument("id", "An integer or a string; nulls are passed over.")
    .with_sql_example("SELECT unnest(value_counts(item_id)) FROM line")
    .build()
});

#[derive(Debug, PartialEq, Eq, Hash)]
pub struct ValueCounts {
    signature: Signature,
}

impl Default for ValueCounts {
    fn default() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

/// The type of the values in results and states.
fn value_type(argument: &DataType) -> DataType {
    match argument {
        DataType::Int64 => DataType::Int64,
        _ => DataType::Utf8,
    }
}

fn fields(value: DataType) -> Fields {
    Fields::from(vec![Field::new("value", value, false), Field::new("count", DataType::Int64, false)])
}

fn list_of(data_type: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(data_type, true)))
}

impl AggregateUDFImpl for ValueCounts {
    fn name(&self) -> &'static str {
        "value_counts"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        id_type("value_counts", arg_types)
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        Ok(list_of(DataType::Struct(fields(value_type(&arg_types[0])))))
    }

    fn is_nullable(&self) -> bool {
        false
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let list = |name, data_type| {
            Arc::new(Field::new(format_state_name(args.name, name), list_of(data_type), true))
        };
        Ok(vec![
            list("values", value_type(args.input_fields[0].data_type())),
            list("counts", DataType::Int64),
        ])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        few_groups::accumulator::<Integers, Strings>(&args)
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        few_groups::groups_accumulator::<Integers, Strings>(&args)
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&DOCUMENTATION)
    }
}

fn counted(values: ArrayRef, counts: ArrayRef) -> Result<ScalarValue> {
    let fields = fields(values.data_type().clone());
    Ok(one_list(Arc::new(StructArray::try_new(fields, vec![values, counts], None)?)))
}

#[derive(Debug, Default)]
struct Integers {
    counts: HashMap<i64, i64>,
}

impl Integers {
    fn columns(&self) -> [ArrayRef; 2] {
        let values: Int64Array = self.counts.keys().map(|value| Some(*value)).collect();
        let counts: Int64Array = self.counts.values().map(|count| Some(*count)).collect();
        [Arc::new(values), Arc::new(counts)]
    }
}

impl GroupState for Integers {
    fn update(&mut self, values: &ArrayRef) -> Result<()> {
        for value in values.as_primitive::<Int64Type>().iter().flatten() {
            *self.counts.entry(value).or_default() += 1;
        }
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], row: usize) -> Result<()> {
        let [values, counts] = [0, 1].map(|column| states[column].as_list::<i32>().value(row));
        let counts = counts.as_primitive::<Int64Type>().values();
        for (value, count) in values.as_primitive::<Int64Type>().values().iter().zip(counts) {
            *self.counts.entry(*value).or_default() += count;
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let [values, counts] = self.columns();
        counted(values, counts)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(self.columns().into_iter().map(one_list).collect())
    }

    fn size(&self) -> usize {
        self.counts.allocation_size()
    }
}

/// Short strings are counted by their views, which hold them; only long ones need a look at their bytes.
#[derive(Debug, Default)]
struct Strings {
    short: HashMap<u128, i64>,
    long: Interner,
    long_counts: Vec<i64>,
}

impl Strings {
    fn add_long(&mut self, value: &str, count: i64) -> Result<()> {
        let code = self.long.intern(value)? as usize;
        if code == self.long_counts.len() {
            self.long_counts.push(0);
        }
        self.long_counts[code] += count;
        Ok(())
    }

    fn columns(&self) -> Result<[ArrayRef; 2]> {
        let mut values = StringBuilder::new();
        let mut counts = Vec::with_capacity(self.short.len() + self.long_counts.len());
        for (view, count) in &self.short {
            let bytes = view.to_le_bytes();
            let value = std::str::from_utf8(&bytes[4..4 + *view as u32 as usize]);
            values.append_value(value.map_err(|error| exec_datafusion_err!("an id is no text: {error}"))?);
            counts.push(*count);
        }
        for value in self.long.to_array()?.as_string::<i32>().iter().flatten() {
            values.append_value(value);
        }
        counts.extend(&self.long_counts);
        Ok([Arc::new(values.finish()), Arc::new(Int64Array::from(counts))])
    }
}

impl GroupState for Strings {
    fn update(&mut self, values: &ArrayRef) -> Result<()> {
        let values = values.as_string_view();
        for (row, view) in values.views().iter().enumerate() {
            if values.is_null(row) {
                continue;
            }
            if *view as u32 <= INLINE {
                *self.short.entry(*view).or_default() += 1;
            } else {
                self.add_long(values.value(row), 1)?;
            }
        }
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], row: usize) -> Result<()> {
        let [values, counts] = [0, 1].map(|column| states[column].as_list::<i32>().value(row));
        let counts = counts.as_primitive::<Int64Type>().values();
        for (value, &count) in values.as_string::<i32>().iter().flatten().zip(counts) {
            if value.len() <= INLINE as usize {
                *self.short.entry(make_view(value.as_bytes(), 0, 0)).or_default() += count;
            } else {
                self.add_long(value, count)?;
            }
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let [values, counts] = self.columns()?;
        counted(values, counts)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(self.columns()?.into_iter().map(one_list).collect())
    }

    fn size(&self) -> usize {
        self.short.allocation_size() + self.long.size() + self.long_counts.capacity() * size_of::<i64>()
    }
}
