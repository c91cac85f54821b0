//! A rule for the planner, and its operator: what may be aggregated in parts is aggregated batch by batch, before any exchange.
//!
//! The lines of an order stand near one another. Where what follows takes them as one row, four fifths of what it looks up and
//! exchanges are gone, for the memory of a batch.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, DynComparator, RecordBatch, UInt32Array, make_comparator,
};
use datafusion::arrow::compute::{SortOptions, take};
use datafusion::arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use datafusion::common::hash_utils::{RandomState, create_hashes};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
    SendableRecordBatchStream,
};
use futures::StreamExt;

use crate::planner_rule::{PlannerRule, Replacement};
use crate::udaf::PART_SUM;

/// Puts [`AggregateNearExec`] in the place of a partial and a final aggregation that have no aggregate but `part_sum`. It comes before
/// exchanges are planned: what follows an aggregation may count on its groups being in one partition each, and those of this one are not.
pub const AGGREGATE_NEAR: PlannerRule = PlannerRule("aggregate_near", aggregated_near);

fn aggregated_near(plan: &Arc<dyn ExecutionPlan>) -> Replacement {
    let Some(last) = plan.downcast_ref::<AggregateExec>() else { return Ok(None) };
    let (keys, aggregates) = (last.group_expr(), last.aggr_expr());
    let all_in_parts = aggregates.iter().all(|aggregate| aggregate.fun().name() == PART_SUM);
    if keys.expr().is_empty() || aggregates.is_empty() || !all_in_parts {
        return Ok(None);
    }
    // the last one no longer tells of grouping sets
    let first = first_of(last).filter(|first| first.group_expr().is_single());
    let Some(first) = first else { return Ok(None) };
    Ok(Some(Arc::new(AggregateNearExec::try_new(first, Arc::clone(first.input()))?)))
}

/// The aggregation that takes the rows: the partial one below a final one, or that itself.
fn first_of(last: &AggregateExec) -> Option<&AggregateExec> {
    match last.mode() {
        AggregateMode::Single | AggregateMode::SinglePartitioned => Some(last),
        AggregateMode::Final | AggregateMode::FinalPartitioned => {
            let first = last.input().downcast_ref::<AggregateExec>();
            first.filter(|first| *first.mode() == AggregateMode::Partial)
        }
        _ => None,
    }
}

/// Aggregates each batch by itself; a group whose rows are further apart than some thousand others may come in several.
///
/// The first key is to tell most groups apart.
#[derive(Debug)]
pub struct AggregateNearExec {
    /// What is aggregated, as one step over all rows.
    aggregation: AggregateExec,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl AggregateNearExec {
    /// Runs an aggregation, of whichever mode, over the rows of an input.
    fn try_new(of: &AggregateExec, input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        let partitions = input.output_partitioning().partition_count();
        let schema = input.schema();
        let aggregation = AggregateExec::try_new(
            AggregateMode::Single,
            of.group_expr().clone(),
            of.aggr_expr().to_vec(),
            of.filter_expr().to_vec(),
            input,
            schema,
        )?;
        let properties = PlanProperties::new(
            EquivalenceProperties::new(aggregation.schema()),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let metrics = ExecutionPlanMetricsSet::new();
        Ok(Self { aggregation, properties: Arc::new(properties), metrics })
    }

    /// What is aggregated, over no rows: all there is to it beside its input.
    ///
    /// # Errors
    /// When that does not plan.
    pub fn of_nothing(&self) -> Result<Arc<dyn ExecutionPlan>> {
        let nothing = Arc::new(EmptyExec::new(self.aggregation.input().schema()));
        Ok(Arc::new(Self::try_new(&self.aggregation, nothing)?.aggregation))
    }

    /// Aggregates an input as [`Self::of_nothing`] tells.
    ///
    /// # Errors
    /// When that is no aggregation.
    pub fn like(of_nothing: &Arc<dyn ExecutionPlan>, input: Arc<dyn ExecutionPlan>) -> Result<Self> {
        let Some(aggregation) = of_nothing.downcast_ref::<AggregateExec>() else {
            return internal_err!("an aggregation is no {}", of_nothing.name());
        };
        Self::try_new(aggregation, input)
    }
}

impl DisplayAs for AggregateNearExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let keys = self.aggregation.group_expr().expr().iter().map(|(_, name)| name.as_str());
        let aggregates = self.aggregation.aggr_expr().iter().map(|aggregate| aggregate.name());
        let (keys, aggregates) =
            (keys.collect::<Vec<_>>().join(", "), aggregates.collect::<Vec<_>>().join(", "));
        write!(f, "AggregateNearExec: gby=[{keys}], aggr=[{aggregates}]")
    }
}

impl ExecutionPlan for AggregateNearExec {
    fn name(&self) -> &'static str {
        "AggregateNearExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![self.aggregation.input()]
    }

    fn apply_expressions(
        &self,
        apply: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.aggregation.apply_expressions(apply)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(input) = children.pop() else { return internal_err!("an aggregation has an input") };
        Ok(Arc::new(Self::try_new(&self.aggregation, input)?))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let measured = BaselineMetrics::new(&self.metrics, partition);
        let mut near = Near::try_new(&self.aggregation)?;
        let rows = self.aggregation.input().execute(partition, context)?;
        let schema = self.schema();
        let groups = {
            let schema = Arc::clone(&schema);
            rows.map(move |batch| {
                let batch = batch?;
                let _timer = measured.elapsed_compute().timer();
                let groups = RecordBatch::try_new(Arc::clone(&schema), near.aggregate(&batch)?)?;
                measured.record_output(groups.num_rows());
                Ok(groups)
            })
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, groups)))
    }
}

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
        let filter = filter.as_ref().map(AsArray::as_boolean);
        self.accumulator.update_batch(&arguments.collect::<Result<Vec<_>>>()?, group_of, filter, groups)
    }
}

/// How many groups a row is compared with the latest of; a power of two, small enough for the fastest cache.
const SLOTS: usize = 1 << 12;

/// In a slot without a group.
const EMPTY: u32 = u32::MAX;

/// Finds the groups of a batch and aggregates each.
struct Near {
    keys: Vec<Arc<dyn PhysicalExpr>>,
    aggregates: Vec<Aggregate>,
    hashes: Vec<u64>,
    slots: Vec<u32>,
    /// By row its group, and by group its first row.
    group_of: Vec<usize>,
    first_rows: Vec<u32>,
}

impl Near {
    fn try_new(aggregation: &AggregateExec) -> Result<Self> {
        let functions = aggregation.aggr_expr().iter().zip(aggregation.filter_expr());
        Ok(Self {
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

    /// The columns of the groups: their keys, then their aggregates.
    fn aggregate(&mut self, batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
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
        Ok(columns)
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
        for key in keys.iter().filter(|key| key.logical_null_count() < key.len()) {
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

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Int64Array, StringViewArray};
    use datafusion::arrow::util::pretty::pretty_format_batches;
    use datafusion::datasource::MemTable;
    use proptest::prelude::*;

    use super::*;
    use crate::config::{Arguments, Config};

    proptest! {
        // each plans six queries
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn sums_in_parts_add_up_to_the_sums(lines in prop::collection::vec((0i64..9, prop::option::of(0u8..3), prop::option::of(-9i64..9)), 1..300), partitions in 1usize..4, batch in 1usize..90) {
            let columns: Vec<ArrayRef> = vec![
                Arc::new(lines.iter().map(|row| row.0).collect::<Int64Array>()),
                Arc::new(lines.iter().map(|row| row.1.map(|text| format!("a text longer than a view {text}"))).collect::<StringViewArray>()),
                Arc::new(lines.iter().map(|row| row.2).collect::<Int64Array>()),
            ];
            let all = RecordBatch::try_from_iter(["number", "text", "value"].into_iter().zip(columns)).unwrap();
            let mut batches = vec![Vec::new(); partitions];
            for (place, start) in (0..lines.len()).step_by(batch).enumerate() {
                batches[place % partitions].push(all.slice(start, batch.min(lines.len() - start)));
            }
            let engine = Config::load(&Arguments::default()).unwrap().engine;
            let context = crate::session::embedded(&engine).unwrap();
            context.register_table("line", Arc::new(MemTable::try_new(all.schema(), batches).unwrap())).unwrap();
            let table = |sql: &str| {
                let sql = sql.to_owned();
                let found = tokio::runtime::Runtime::new().unwrap().block_on(async { context.sql(&sql).await?.collect().await });
                pretty_format_batches(&found.unwrap()).unwrap().to_string()
            };
            // by the keys of the parts, too: no exchange may be saved that the sums of parts need
            for keys in ["number, text", "text", "number"] {
                let whole = format!("SELECT {keys}, sum(value), count(value) FROM line GROUP BY {keys} ORDER BY {keys}");
                let parts = format!(
                    "SELECT {keys}, sum(sums), sum(counts) FROM (SELECT number, text, part_sum(value) AS sums, \
                     part_sum(CASE WHEN value IS NULL THEN 0 ELSE 1 END) AS counts FROM line GROUP BY number, text) GROUP BY {keys} ORDER BY {keys}"
                );
                let rows = |text: String| -> Vec<String> {
                    text.lines().skip(3).filter(|line| line.starts_with('|')).map(|line| line.replace(' ', "")).collect()
                };
                let plan = table(&format!("EXPLAIN {parts}"));
                prop_assert!(plan.contains("AggregateNearExec"), "{plan}");
                prop_assert_eq!(rows(table(&parts)), rows(table(&whole)));
            }
        }
    }
}
