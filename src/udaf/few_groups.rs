//! Grouped aggregation for aggregates whose groups are few and large: a state a group.

use std::fmt::Debug;

use datafusion::arrow::array::{ArrayRef, BooleanArray, UInt32Array};
use datafusion::arrow::compute::{filter, take};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};

use super::passes;
use super::single_group::SingleGroup;

/// The state of one group.
pub trait GroupState: Default + Debug + Send + Sync + 'static {
    /// Adds rows of the group.
    fn update(&mut self, values: &ArrayRef) -> Result<()>;

    /// Adds one row of other states.
    fn merge(&mut self, states: &[ArrayRef], row: usize) -> Result<()>;

    fn evaluate(&mut self) -> Result<ScalarValue>;

    fn state(&mut self) -> Result<Vec<ScalarValue>>;

    /// Bytes on the heap.
    fn size(&self) -> usize;
}

#[derive(Debug)]
pub struct FewGroups<S> {
    groups: Vec<S>,
}

impl<S: GroupState> FewGroups<S> {
    fn new(groups: usize) -> Self {
        Self { groups: (0..groups).map(|_| S::default()).collect() }
    }
}

/// An accumulator for integers or for strings, as the argument is, for a query without groups.
pub fn accumulator<I: GroupState, S: GroupState>(args: &AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
    Ok(match args.exprs[0].data_type(args.schema)? {
        DataType::Int64 => Box::new(SingleGroup(FewGroups::<I>::new(1))),
        _ => Box::new(SingleGroup(FewGroups::<S>::new(1))),
    })
}

/// The same for groups.
pub fn groups_accumulator<I: GroupState, S: GroupState>(
    args: &AccumulatorArgs,
) -> Result<Box<dyn GroupsAccumulator>> {
    Ok(match args.exprs[0].data_type(args.schema)? {
        DataType::Int64 => Box::new(FewGroups::<I>::new(0)),
        _ => Box::new(FewGroups::<S>::new(0)),
    })
}

/// The type to ask of an argument that is an id: an integer or a string.
pub fn id_type(function: &str, arg_types: &[DataType]) -> Result<Vec<DataType>> {
    match arg_types {
        // larger than what a signed integer holds: as text
        [DataType::UInt64] => Ok(vec![DataType::Utf8View]),
        [whole] if whole.is_integer() => Ok(vec![DataType::Int64]),
        [_] => Ok(vec![DataType::Utf8View]),
        _ => plan_err!("{function} takes an id, not {} arguments", arg_types.len()),
    }
}

/// Columns of states from rows of them.
fn columns(rows: Vec<Vec<ScalarValue>>) -> Result<Vec<ArrayRef>> {
    let width = rows.first().map_or(0, Vec::len);
    let mut columns: Vec<Vec<ScalarValue>> = vec![Vec::with_capacity(rows.len()); width];
    for row in rows {
        row.into_iter().zip(&mut columns).for_each(|(value, column)| column.push(value));
    }
    columns.into_iter().map(ScalarValue::iter_to_array).collect()
}

/// Columns of states without a row, whose types a state without values tells.
fn no_states<S: GroupState>() -> Result<Vec<ArrayRef>> {
    S::default().state()?.iter().map(|value| value.to_array_of_size(0)).collect()
}

impl<S: GroupState> GroupsAccumulator for FewGroups<S> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.groups.resize_with(total_num_groups, S::default);
        let Some(&first) = group_indices.first() else { return Ok(()) };
        let let_in = |row: usize| passes(opt_filter, row);
        if group_indices.iter().all(|group| *group == first) {
            return if opt_filter.is_none_or(|filter| filter.true_count() == filter.len()) {
                self.groups[first].update(&values[0])
            } else {
                let rows: BooleanArray = (0..group_indices.len()).map(|row| Some(let_in(row))).collect();
                self.groups[first].update(&filter(&values[0], &rows)?)
            };
        }
        let mut rows: Vec<u32> =
            (0..group_indices.len()).filter(|row| let_in(*row)).map(|row| row as u32).collect();
        rows.sort_by_key(|row| group_indices[*row as usize]);
        for rows in rows.chunk_by(|a, b| group_indices[*a as usize] == group_indices[*b as usize]) {
            let values = take(&values[0], &UInt32Array::from(rows.to_vec()), None)?;
            self.groups[group_indices[rows[0] as usize]].update(&values)?;
        }
        Ok(())
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        self.groups.resize_with(total_num_groups, S::default);
        group_indices.iter().enumerate().try_for_each(|(row, group)| self.groups[*group].merge(values, row))
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let mut emitted = emit_to.take_needed(&mut self.groups);
        if emitted.is_empty() {
            return S::default().evaluate()?.to_array_of_size(0);
        }
        ScalarValue::iter_to_array(emitted.iter_mut().map(S::evaluate).collect::<Result<Vec<_>>>()?)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let mut emitted = emit_to.take_needed(&mut self.groups);
        if emitted.is_empty() {
            return no_states::<S>();
        }
        columns(emitted.iter_mut().map(S::state).collect::<Result<_>>()?)
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let rows: Vec<usize> = (0..values[0].len()).collect();
        let mut single = Self::new(rows.len());
        if rows.is_empty() {
            return no_states::<S>();
        }
        single.update_batch(values, &rows, opt_filter, rows.len())?;
        single.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.groups.iter().map(|group| size_of::<S>() + group.size()).sum::<usize>()
    }
}
