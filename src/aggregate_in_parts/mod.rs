//! A rule for the planner, and its operator: what may be aggregated in parts is aggregated before any exchange, and not merged by it.
//!
//! By keys it goes batch by batch (`near`): the lines of an order stand near one another, and where what follows takes them as
//! one row, four fifths of what it looks up and exchanges are gone, for the memory of a batch. Without keys a part is as many rows as
//! memory allows (`whole`): what is counted for all is then added up side by side, and not in one task.

use std::fmt;
use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err};
use datafusion::execution::TaskContext;
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

use crate::grouped_aggregate::keys_and_aggregates;
use crate::planner_rule::{PlannerRule, Replacement};
use crate::udaf::IN_PARTS;

mod near;
mod whole;

use near::Near;
use whole::Whole;

/// Puts [`AggregateInPartsExec`] in the place of a partial and a final aggregation whose aggregates are all [`IN_PARTS`]. It comes before
/// exchanges are planned: what follows an aggregation may count on its groups being in one partition each, and those of this one are not.
pub const AGGREGATE_IN_PARTS: PlannerRule = PlannerRule("aggregate_in_parts", aggregated_in_parts);

fn aggregated_in_parts(plan: &Arc<dyn ExecutionPlan>) -> Replacement {
    let Some(last) = plan.downcast_ref::<AggregateExec>() else { return Ok(None) };
    let aggregates = last.aggr_expr();
    let all_in_parts = aggregates.iter().all(|aggregate| IN_PARTS.contains(&aggregate.fun().name()));
    if aggregates.is_empty() || !all_in_parts {
        return Ok(None);
    }
    // the last one no longer tells of grouping sets
    let first = first_of(last).filter(|first| first.group_expr().is_single());
    let Some(first) = first else { return Ok(None) };
    Ok(Some(Arc::new(AggregateInPartsExec::try_new(first, Arc::clone(first.input()))?)))
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

/// Aggregates each batch by itself, by keys of which the first is to tell most groups apart; a group whose rows are further apart than
/// some thousand others may come in several. Without keys there may be several rows for each partition.
#[derive(Debug)]
pub struct AggregateInPartsExec {
    /// What is aggregated, as one step over all rows.
    aggregation: AggregateExec,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl AggregateInPartsExec {
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

impl DisplayAs for AggregateInPartsExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "AggregateInPartsExec: {}", keys_and_aggregates(&self.aggregation))
    }
}

impl ExecutionPlan for AggregateInPartsExec {
    fn name(&self) -> &'static str {
        "AggregateInPartsExec"
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
        let schema = self.schema();
        let rows = self.aggregation.input().execute(partition, Arc::clone(&context))?;
        if self.aggregation.group_expr().expr().is_empty() {
            let whole = Whole::try_new(&self.aggregation, &context, partition)?;
            return Ok(Box::pin(RecordBatchStreamAdapter::new(schema, whole.parts(rows, measured))));
        }
        let mut near = Near::try_new(&self.aggregation)?;
        let groups = rows.map(move |batch| {
            let batch = batch?;
            let _timer = measured.elapsed_compute().timer();
            let groups = near.aggregate(&batch)?;
            measured.record_output(groups.num_rows());
            Ok(groups)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, groups)))
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringViewArray};
    use datafusion::datasource::MemTable;
    use datafusion::prelude::SessionContext;
    use proptest::prelude::*;

    use super::*;
    use crate::test_session::{found, session};

    /// A session with a memory limit, and two partitions.
    fn context(memory_limit: &str) -> SessionContext {
        session(memory_limit, 2)
    }

    #[test]
    fn parts_end_where_memory_does_and_lose_nothing() {
        // 13 MB of pairs that might be, a partition
        let baskets = "(SELECT [arrow_cast(value % 7, 'UInt32'), arrow_cast(1800 + value % 3, 'UInt32')] AS items \
                       FROM unnest(range(0, 12000)) AS t (value))";
        let parts = format!("SELECT part_pair_counts(items) AS pairs FROM {baskets}");
        let sums = format!(
            "SELECT pair['first'] AS first_item, sum(pair['support_count']) AS baskets FROM (SELECT unnest(pairs) AS pair FROM ({parts})) \
             GROUP BY pair['first'] HAVING first_item > 4"
        );
        let (ample, short) = (context("1GiB"), context("24MiB"));
        let parts_of = |context| {
            found(context, &format!("SELECT array_length(pairs) FROM ({parts})")).lines().count() - 4
        };
        assert!(parts_of(&ample) <= 2 && parts_of(&short) > 2, "{} {}", parts_of(&ample), parts_of(&short));
        let sums_of = |context| {
            let mut lines: Vec<String> = found(context, &sums).lines().map(str::to_owned).collect();
            lines.sort_unstable();
            lines
        };
        assert!(sums_of(&ample).iter().any(|line| line.split('|').map(str::trim).eq(["", "5", "1714", ""])));
        assert_eq!(sums_of(&short), sums_of(&ample));
    }

    proptest! {
        // each plans six queries
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn sums_in_parts_add_up_to_the_sums(lines in prop::collection::vec((0i64..9, prop::option::of(0u8..3), prop::option::of(-9i64..9)), 1..300), partitions in 1usize..4, batch in 1usize..90) {
            let columns: Vec<ArrayRef> = vec![
                Arc::new(lines.iter().map(|row| row.0).collect::<Int64Array>()),
                Arc::new(lines.iter().map(|row| row.1.map(|text| format!("a text longer than a view {text}"))).collect::<StringViewArray>()),
                Arc::new(lines.iter().map(|row| row.2).collect::<Int64Array>()),
                Arc::new(lines.iter().map(|row| row.1.map_or(7, i64::from)).collect::<Int64Array>()),
            ];
            let names = ["number", "text", "value", "other"];
            let all = RecordBatch::try_from_iter(names.into_iter().zip(columns)).unwrap();
            let mut batches = vec![Vec::new(); partitions];
            for (place, start) in (0..lines.len()).step_by(batch).enumerate() {
                batches[place % partitions].push(all.slice(start, batch.min(lines.len() - start)));
            }
            let context = context("1GiB");
            context.register_table("line", Arc::new(MemTable::try_new(all.schema(), batches).unwrap())).unwrap();
            // by the keys of the parts, too: no exchange may be saved that the sums of parts need
            for keys in ["number, text", "text", "number", "number, other"] {
                let part_keys = if keys.contains("other") { keys } else { "number, text" };
                let whole = format!("SELECT {keys}, sum(value), count(value) FROM line GROUP BY {keys} ORDER BY {keys}");
                let parts = format!(
                    "SELECT {keys}, sum(sums), sum(counts) FROM (SELECT {part_keys}, part_sum(value) AS sums, \
                     part_sum(CASE WHEN value IS NULL THEN 0 ELSE 1 END) AS counts FROM line GROUP BY {part_keys}) GROUP BY {keys} ORDER BY {keys}"
                );
                let rows = |text: String| -> Vec<String> {
                    text.lines().skip(3).filter(|line| line.starts_with('|')).map(|line| line.replace(' ', "")).collect()
                };
                let plan = found(&context, &format!("EXPLAIN {parts}"));
                prop_assert!(plan.contains("AggregateInPartsExec"), "{plan}");
                prop_assert_eq!(rows(found(&context, &parts)), rows(found(&context, &whole)));
            }
        }
    }
}
