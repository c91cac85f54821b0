//! Groups whose rows stand near one another, found batch by batch.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, DynComparator, RecordBatch, UInt32Array, make_comparator,
};
use datafusion::arrow::compute::{SortOptions, take};
use datafusion::arrow::datatypes::{Int64Type, SchemaRef, TimestampMicrosecondType};
use datafusion::common::Result;
use datafusion::common::hash_utils::{RandomState, create_hashes};
use datafusion::logical_expr::EmitTo;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;

use crate::grouped_aggregate::{GroupedAggregate, values_of};

/// How many groups a row is compared with the latest of; a power of two, small enough for the fastest cache.
const SLOTS: usize = 1 << 12;

/// In a slot without a group.
const EMPTY: u32 = u32::MAX;

/// Finds the groups of a batch and aggregates each.
pub(super) struct Near {
    schema: SchemaRef,
    keys: Vec<Arc<dyn PhysicalExpr>>,
    aggregates: Vec<GroupedAggregate>,
    hashes: Vec<u64>,
    /// The keys of groups, where those are few numbers.
    group_keys: Vec<[i64; FEW]>,
    slots: Box<[u32; SLOTS]>,
    /// By row its group, and by group its first row.
    group_of: Vec<usize>,
    first_rows: Vec<u32>,
}

impl Near {
    pub(super) fn try_new(aggregation: &AggregateExec) -> Result<Self> {
        Ok(Self {
            schema: aggregation.schema(),
            keys: aggregation.group_expr().input_exprs(),
            aggregates: GroupedAggregate::all_of(aggregation)?,
            hashes: Vec::new(),
            group_keys: Vec::new(),
            slots: Box::new([EMPTY; SLOTS]),
            group_of: Vec::new(),
            first_rows: Vec::new(),
        })
    }

    /// The groups of a batch: their keys, then their aggregates.
    pub(super) fn aggregate(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let keys: Vec<ArrayRef> = self.keys.iter().map(|key| values_of(key, batch)).collect::<Result<_>>()?;
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
        self.first_rows = Vec::with_capacity(rows / 2);
        self.group_of.clear();
        let (numbers, others) = told_apart(keys)?;
        // a group that was displaced from its slot begins anew, in a row of its own
        match few(&numbers).filter(|_| others.is_empty()) {
            Some(numbers) => self.find_groups_of_numbers(numbers),
            None => self.find_groups_of_any(keys, &numbers, &others, rows)?,
        }
        Ok(())
    }

    /// Groups by keys that are all numbers, such as those of an order, its customer and its time: those of the groups stand together, so
    /// that a row is compared without a detour.
    fn find_groups_of_numbers(&mut self, [first, second, third]: [&[i64]; FEW]) {
        let Self { slots, group_keys, group_of, first_rows, .. } = self;
        group_keys.clear();
        let rows = first.iter().zip(second).zip(third).enumerate();
        group_of.extend(rows.map(|(row, ((first, second), third))| {
            let slot = &mut slots[slot_of(*first)];
            let is_known = group_keys.get(*slot as usize).is_some_and(|known| {
                // all at once, which is one branch
                (known[0] ^ first) | (known[1] ^ second) | (known[2] ^ third) == 0
            });
            if !is_known {
                *slot = group_keys.len() as u32;
                group_keys.push([*first, *second, *third]);
                first_rows.push(row as u32);
            }
            *slot as usize
        }));
    }

    /// Groups by any keys, of which the first tells most groups apart.
    fn find_groups_of_any(
        &mut self,
        keys: &[ArrayRef],
        numbers: &[&[i64]],
        others: &[DynComparator],
        rows: usize,
    ) -> Result<()> {
        let are_equal = |a: usize, b: usize| {
            numbers.iter().all(|numbers| numbers[a] == numbers[b])
                && others.iter().all(|compare| compare(a, b).is_eq())
        };
        self.hashes.clear();
        self.hashes.resize(rows, 0);
        create_hashes(&keys[..1], &RandomState::default(), &mut self.hashes)?;
        for (row, hash) in self.hashes.iter().enumerate() {
            let slot = &mut self.slots[*hash as usize % SLOTS];
            if *slot == EMPTY || !are_equal(self.first_rows[*slot as usize] as usize, row) {
                *slot = self.first_rows.len() as u32;
                self.first_rows.push(row as u32);
            }
            self.group_of.push(*slot as usize);
        }
        Ok(())
    }
}

/// How many numbers are few.
const FEW: usize = 3;

/// Numbers that are few, the first of them again in the places that are left.
fn few<'a>(numbers: &[&'a [i64]]) -> Option<[&'a [i64]; FEW]> {
    let first = numbers.first().filter(|_| numbers.len() <= FEW)?;
    Some(std::array::from_fn(|place| *numbers.get(place).unwrap_or(first)))
}

/// Where a number's group is looked for: numbers that follow one another are spread (Fibonacci hashing).
fn slot_of(number: i64) -> usize {
    const GOLDEN_RATIO: u64 = 0x9E37_79B9_7F4A_7C15;
    (number.cast_unsigned().wrapping_mul(GOLDEN_RATIO) >> (u64::BITS - SLOTS.ilog2())) as usize
}

/// The keys that tell rows of a batch apart: those that are 64 bits wide without a null, which most are, and comparators for the others,
/// to which nulls are equal.
fn told_apart(keys: &[ArrayRef]) -> Result<(Vec<&[i64]>, Vec<DynComparator>)> {
    let (mut all_numbers, mut others) = (Vec::new(), Vec::new());
    for key in keys.iter().filter(|key| !is_constant(key)) {
        match numbers(key) {
            Some(numbers) => all_numbers.push(numbers),
            None => others.push(make_comparator(key, key, SortOptions::default())?),
        }
    }
    Ok((all_numbers, others))
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
