//! `part_sum(value)`: sums of rows that stand near one another, which a later aggregation adds up.

use std::fmt::Debug;
use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{
    Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray,
};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DataType, Decimal128Type, Field, FieldRef, Int64Type,
};
use datafusion::common::{DataFusionError, Result, exec_datafusion_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, DocSection, Documentation, EmitTo, GroupsAccumulator, Signature,
    Volatility,
};

use super::passes;
use super::single_group::SingleGroup;

pub const PART_SUM: &str = "part_sum";

static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        DocSection::default(),
        "A sum in parts: a query whose aggregates are all part_sum may give a group in several rows, whose sums add up to \
         the group's. It makes the rows fewer that another aggregation takes, where equal keys stand near one another, for \
         no more memory than a batch takes. Null where all values are; an error where a sum does not fit its type.",
        "part_sum(value)",
    )
    .with_argument("value", "A whole number or a decimal.")
    .with_sql_example(
        "SELECT order_id, sum(part) FROM (SELECT order_id, part_sum(amount) AS part FROM line GROUP BY order_id) GROUP BY order_id",
    )
    .build()
});

#[derive(Debug, PartialEq, Eq, Hash)]
pub struct PartSum {
    signature: Signature,
}

impl Default for PartSum {
    fn default() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for PartSum {
    fn name(&self) -> &'static str {
        PART_SUM
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        match arg_types {
            [DataType::UInt64] => Ok(vec![DataType::Decimal128(DECIMAL128_MAX_PRECISION, 0)]),
            [whole] if whole.is_integer() => Ok(vec![DataType::Int64]),
            [DataType::Decimal128(_, scale)] => {
                Ok(vec![DataType::Decimal128(DECIMAL128_MAX_PRECISION, *scale)])
            }
            _ => {
                plan_err!("part_sum takes a whole number or a decimal of up to 38 digits, not {arg_types:?}")
            }
        }
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        Ok(arg_types[0].clone())
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let sum = args.input_fields[0].data_type().clone();
        Ok(vec![Arc::new(Field::new(format_state_name(args.name, "sum"), sum, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let data_type = summed(&args)?;
        Ok(match data_type {
            DataType::Int64 => Box::new(SingleGroup(Sums::<Int64Type>::of_one(data_type))),
            _ => Box::new(SingleGroup(Sums::<Decimal128Type>::of_one(data_type))),
        })
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let data_type = summed(&args)?;
        Ok(match data_type {
            DataType::Int64 => Box::new(Sums::<Int64Type>::new(data_type)),
            _ => Box::new(Sums::<Decimal128Type>::new(data_type)),
        })
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&DOCUMENTATION)
    }
}

/// The type of what is summed; parts of a group would each have their own distinct values.
fn summed(args: &AccumulatorArgs) -> Result<DataType> {
    if args.is_distinct {
        return plan_err!("part_sum takes no DISTINCT");
    }
    args.exprs[0].data_type(args.schema)
}

/// For each group its sum, and whether it has one.
#[derive(Debug)]
struct Sums<T: ArrowPrimitiveType> {
    data_type: DataType,
    values: Vec<T::Native>,
    /// Kept from the first row on that has no value or is not let in: before it each group has one, since it has rows.
    found: Option<Vec<bool>>,
}

impl<T: ArrowPrimitiveType> Sums<T> {
    /// No groups as yet.
    fn new(data_type: DataType) -> Self {
        Self { data_type, values: Vec::new(), found: None }
    }

    /// One group, which may have no rows.
    fn of_one(data_type: DataType) -> Self {
        Self { data_type, values: vec![T::default_value()], found: Some(vec![false]) }
    }

    /// Adds to a group's sum; false where that does not fit.
    #[inline]
    fn add(&mut self, group: usize, value: T::Native) -> bool {
        let sum = &mut self.values[group];
        let added = sum.add_checked(value).map(|more| *sum = more);
        added.is_ok()
    }

    fn too_much(&self) -> DataFusionError {
        exec_datafusion_err!(
            "values add up to more than {} holds",
            self.data_type.to_string().to_lowercase().replace("128(", "(").replace(", ", ",")
        )
    }
}

impl<T: ArrowPrimitiveType + Debug> GroupsAccumulator for Sums<T> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        let groups_before = self.values.len();
        self.values.resize(total_num_groups, T::default_value());
        let values = values[0].as_primitive::<T>();
        if self.found.is_none() && opt_filter.is_none() && values.null_count() == 0 {
            for (group, value) in group_indices.iter().zip(values.values()) {
                if !self.add(*group, *value) {
                    return Err(self.too_much());
                }
            }
            return Ok(());
        }
        let mut found = self.found.take().unwrap_or_else(|| vec![true; groups_before]);
        found.resize(total_num_groups, false);
        for (row, group) in group_indices.iter().enumerate() {
            if passes(opt_filter, row) && values.is_valid(row) {
                if !self.add(*group, values.value(row)) {
                    return Err(self.too_much());
                }
                found[*group] = true;
            }
        }
        self.found = Some(found);
        Ok(())
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        self.update_batch(values, group_indices, None, total_num_groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let sums = emit_to.take_needed(&mut self.values);
        let found = self.found.as_mut().map(|found| NullBuffer::from(emit_to.take_needed(found)));
        let found = found.filter(|found| found.null_count() > 0);
        if self.values.is_empty() {
            self.found = None;
        }
        let sums = PrimitiveArray::<T>::try_new(sums.into(), found)?;
        Ok(Arc::new(sums.with_data_type(self.data_type.clone())))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit_to)?])
    }

    /// A state a row: its value.
    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let rows: Vec<usize> = (0..values[0].len()).collect();
        let mut single = Self::new(self.data_type.clone());
        single.update_batch(values, &rows, opt_filter, rows.len())?;
        single.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        size_of_val(self)
            + self.values.capacity() * size_of::<T::Native>()
            + self.found.as_ref().map_or(0, Vec::capacity)
    }
}
