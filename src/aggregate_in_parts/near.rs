//! Groups whose rows stand near one another, found batch by batch.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, DynComparator, RecordBatch, UInt32Array, make_comparator,
};
use datafusion::arrow::compute::{SortOptions, take};
use datafusion::arrow::datatypes::{Int64Type, SchemaRef, TimestampMicrosecondType};
use datafusion::common::Result;
use datafusion::common::hash_utils::{RandomState, create_hashes};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;

use super::Given;

/// An aggregate's accumulator and what it is given.
struct Aggregate {
    given: Given,
    accumulator: Box<dyn GroupsAccumulator>,
}

impl Aggregate {
    fn try_new(function: &AggregateFunctionExpr, filter: Option<&Arc<dyn PhysicalExpr>>) -> Result<Self> {
        Ok(Self { given: Given::to(function, filter), accumulator: function.create_groups_accumulator()? })
    }

    fn update(&mut self, batch: &RecordBatch, group_of: &[usize], groups: usize) -> Result<()> {
        let (arguments, filter) = self.given.of(batch)?;
        self.accumulator.update_batch(&arguments, group_of, filter.as_ref(), groups)
    }
}

/// How many groups a row is compared with the latest of; a power of two, small enough for the fastest cache.
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
        // The first key tells most groups apart; one that was displaced from its slot begins anew, in a row of its own.
        self.hashes.clear();
        self.hashes.resize(rows, 0);
        create_hashes(&keys[..1], &RandomState::default(), &mut self.hashes)?;
        let equal = EqualRows::try_new(keys)?;
        self.slots.fill(EMPTY);
        self.group_of.clear();
        self.first_rows.clear();
        for (row, hash) in self.hashes.iter().enumerate() {
            let slot = &mut self.slots[*hash as usize % SLOTS];
            if *slot == EMPTY || !equal.are(self.first_rows[*slot as usize] as usize, row) {
                *slot = self.first_rows.len() as u32;
                self.first_rows.push(row as u32);
            }
            self.group_of.push(*slot as usize);
        }
        Ok(())
    }
}

/// Tells whether rows of a batch have equal keys; nulls are equal.
struct EqualRows<'a> {
    /// Keys without a null that are 64 bits wide, which most are.
    numbers: Vec<&'a [i64]>,
    others: Vec<DynComparator>,
}

impl<'a> EqualRows<'a> {
    fn try_new(keys: &'a [ArrayRef]) -> Result<Self> {
        let mut equal = Self { numbers: Vec::new(), others: Vec::new() };
        for key in keys.iter().filter(|key| !is_constant(key)) {
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

/// Whether it is plain that a key is the same in all rows: without a value, or as true.
fn is_constant(key: &ArrayRef) -> bool {
    let truths = key.as_boolean_opt().filter(|truths| truths.null_count() == 0);
    key.logical_null_count() == key.len()
        || truths.is_some_and(|truths| [0, key.len()].contains(&truths.true_count()))
}

fn numbers(key: &ArrayRef) -> Option<&[i64]> {
    if key.null_count() > 0 {
        return None;
    }
    let whole = key.as_primitive_opt::<Int64Type>().map(|numbers| &numbers.values()[..]);
    whole.or_else(|| key.as_primitive_opt::<TimestampMicrosecondType>().map(|times| &times.values()[..]))
}
