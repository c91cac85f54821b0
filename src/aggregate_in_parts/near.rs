//! Groups whose rows stand near one another, found batch by batch.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, DynComparator, RecordBatch, UInt32Array, make_comparator,
};
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::arrow::compute::kernels::cmp::distinct;
use datafusion::arrow::compute::{SortOptions, take};
use datafusion::arrow::datatypes::{Int64Type, SchemaRef, TimestampMicrosecondType};
use datafusion::common::Result;
use datafusion::common::hash_utils::{RandomState, create_hashes};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;

/// An aggregate's accumulator and what it is given.
struct Aggregate {
    arguments: Vec<Arc<dyn PhysicalExpr>>,
    filter: Option<Arc<dyn PhysicalExpr>>,
    accumulator: Box<dyn GroupsAccumulator>,
}

impl Aggregate {
    fn try_new(function: &AggregateFunctionExpr, filter: Option<&Arc<dyn PhysicalExpr>>) -> Result<Self> {
        let accumulator = function.create_groups_accumulator()?;
        Ok(Self { arguments: function.expressions(), filter: filter.cloned(), accumulator })
    }

    fn update(&mut self, batch: &RecordBatch, group_of: &[usize], groups: usize) -> Result<()> {
        let rows = batch.num_rows();
        let arguments = self.arguments.iter().map(|argument| argument.evaluate(batch)?.into_array(rows));
        let filter = self.filter.as_ref().map(|filter| filter.evaluate(batch)?.into_array(rows));
        let filter = filter.transpose()?;
        // what lets all rows in decides nothing
        let filter = filter.as_ref().map(AsArray::as_boolean).filter(|filter| filter.true_count() < rows);
        self.accumulator.update_batch(&arguments.collect::<Result<Vec<_>>>()?, group_of, filter, groups)
    }
}

/// How many groups a run is compared with the latest of; a power of two, small enough for the fastest cache.
const SLOTS: usize = 1 << 12;

/// In a slot without a group.
const EMPTY: u32 = u32::MAX;

/// Finds the groups of a batch and aggregates each.
pub(super) struct Near {
    schema: SchemaRef,
    keys: Vec<Arc<dyn PhysicalExpr>>,
    aggregates: Vec<Aggregate>,
    hashes: Vec<u64>,
    slots: Vec<u32>,
    /// By row its group, and by group its first row.
    group_of: Vec<usize>,
    first_rows: Vec<u32>,
}

impl Near {
    pub(super) fn try_new(aggregation: &AggregateExec) -> Result<Self> {
        let functions = aggregation.aggr_expr().iter().zip(aggregation.filter_expr());
        Ok(Self {
            schema: aggregation.schema(),
            keys: aggregation.group_expr().input_exprs(),
            aggregates: functions
                .map(|(function, filter)| Aggregate::try_new(function, filter.as_ref()))
                .collect::<Result<_>>()?,
            hashes: Vec::new(),
            slots: vec![EMPTY; SLOTS],
            group_of: Vec::new(),
            first_rows: Vec::new(),
        })
    }

    /// The groups of a batch: their keys, then their aggregates.
    pub(super) fn aggregate(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let keys: Vec<ArrayRef> = self
            .keys
            .iter()
            .map(|key| key.evaluate(batch)?.into_array(batch.num_rows()))
            .collect::<Result<_>>()?;
        self.find_groups(&keys, batch.num_rows())?;
        let groups = self.first_rows.len();
        let first_rows = UInt32Array::from(std::mem::take(&mut self.first_rows));
        let mut columns: Vec<ArrayRef> =
            keys.iter().map(|key| take(key, &first_rows, None)).collect::<Result<_, _>>()?;
        for aggregate in &mut self.aggregates {
            aggregate.update(batch, &self.group_of, groups)?;
            columns.push(aggregate.accumulator.evaluate(EmitTo::All)?);
        }
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }

    fn find_groups(&mut self, keys: &[ArrayRef], rows: usize) -> Result<()> {
        self.slots.fill(EMPTY);
        self.group_of.clear();
        self.first_rows.clear();
        if rows == 0 {
            return Ok(());
        }
        let (starts, varying) = runs(keys, rows)?;
        // The first key tells most groups apart; one that was displaced from its slot begins anew, in a row of its own.
        let first_key = take(&keys[0], &starts, None)?;
        self.hashes.clear();
        self.hashes.resize(starts.len(), 0);
        create_hashes([&first_key], &RandomState::default(), &mut self.hashes)?;
        let equal = EqualRows::try_new(&varying)?;
        let ends = starts.values().iter().skip(1).copied().chain([rows as u32]);
        for ((start, end), hash) in starts.values().iter().zip(ends).zip(&self.hashes) {
            let slot = &mut self.slots[*hash as usize % SLOTS];
            if *slot == EMPTY || !equal.are(self.first_rows[*slot as usize] as usize, *start as usize) {
                *slot = self.first_rows.len() as u32;
                self.first_rows.push(*start);
            }
            self.group_of.extend(std::iter::repeat_n(*slot as usize, (end - start) as usize));
        }
        Ok(())
    }
}

/// Where rows begin whose keys are not those of the row before, and the keys that are not the same in all rows.
fn runs(keys: &[ArrayRef], rows: usize) -> Result<(UInt32Array, Vec<&ArrayRef>)> {
    let mut begins: Option<BooleanBuffer> = None;
    let mut varying = Vec::new();
    for key in keys {
        let differs = differs_from_before(key)?;
        if differs.count_set_bits() > 0 {
            begins = Some(begins.map_or_else(|| differs.clone(), |begins| &begins | &differs));
            varying.push(key);
        }
    }
    let begins = begins.unwrap_or_else(|| BooleanBuffer::new_unset(rows - 1));
    let starts = [0].into_iter().chain(begins.set_indices_u32().map(|row| row + 1));
    Ok((starts.collect::<Vec<u32>>().into(), varying))
}

/// For each row but the first, whether its key is another than that of the row before; nulls are equal.
fn differs_from_before(key: &ArrayRef) -> Result<BooleanBuffer> {
    let others = key.len() - 1;
    if key.data_type().is_nested() {
        let compare = make_comparator(key, key, SortOptions::default())?;
        return Ok(BooleanBuffer::collect_bool(others, |row| compare(row, row + 1).is_ne()));
    }
    Ok(distinct(&key.slice(0, others), &key.slice(1, others))?.into_parts().0)
}

/// Tells whether rows of a batch have equal keys; nulls are equal.
struct EqualRows<'a> {
    /// Keys without a null that are 64 bits wide, which most are.
    numbers: Vec<&'a [i64]>,
    others: Vec<DynComparator>,
}

impl<'a> EqualRows<'a> {
    fn try_new(keys: &[&'a ArrayRef]) -> Result<Self> {
        let mut equal = Self { numbers: Vec::new(), others: Vec::new() };
        for key in keys {
            if let Some(numbers) = numbers(key) {
                equal.numbers.push(numbers);
            } else {
                equal.others.push(make_comparator(key, key, SortOptions::default())?);
            }
        }
        Ok(equal)
    }

    fn are(&self, a: usize, b: usize) -> bool {
        self.numbers.iter().all(|numbers| numbers[a] == numbers[b])
            && self.others.iter().all(|compare| compare(a, b).is_eq())
    }
}

fn numbers(key: &ArrayRef) -> Option<&[i64]> {
    if key.null_count() > 0 {
        return None;
    }
    let whole = key.as_primitive_opt::<Int64Type>().map(|numbers| &numbers.values()[..]);
    whole.or_else(|| key.as_primitive_opt::<TimestampMicrosecondType>().map(|times| &times.values()[..]))
}
