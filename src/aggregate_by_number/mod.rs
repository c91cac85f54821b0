//! A rule for the planner, and its operator: orders are gathered by the number of their customer.
//!
//! Where customers are more than the caches hold, it is waiting for memory that looking one up takes. The engine reads the place of a
//! hash, the hash and the group, and each key of that, all of them apart; ours reads one entry of 16 bytes (`table`). What does not
//! fit into memory goes on to the engine's own aggregation, which spills.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::array::{Array, ArrayRef, RecordBatch};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::logical_expr::EmitTo;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, InputOrderMode, PlanProperties, SendableRecordBatchStream,
    execute_stream, replace_children_if_necessary,
};
use futures::{Stream, StreamExt, TryStreamExt, stream};

use crate::grouped_aggregate::{GroupedAggregate, keys_and_aggregates, values_of};
use crate::planner_rule::{PlannerRule, Replacement};

mod keys;
mod table;

use keys::Keys;

/// Puts [`AggregateByNumberExec`] in the place of an aggregation that gathers orders in one step by an integer of up to 64 bits first.
pub const AGGREGATE_BY_NUMBER: PlannerRule = PlannerRule("aggregate_by_number", aggregated_by_number);

fn aggregated_by_number(plan: &Arc<dyn ExecutionPlan>) -> Replacement {
    let Some(aggregation) = plan.downcast_ref::<AggregateExec>() else { return Ok(None) };
    let is_in_one_step =
        matches!(aggregation.mode(), AggregateMode::Single | AggregateMode::SinglePartitioned);
    let is_plain = aggregation.group_expr().is_single()
        && aggregation.limit_options().is_none()
        && *aggregation.input_order_mode() == InputOrderMode::Linear;
    if !is_in_one_step || !is_plain || !gathers_orders(aggregation.aggr_expr()) {
        return Ok(None);
    }
    let input = aggregation.input().schema();
    let keys = aggregation.group_expr().input_exprs();
    let types = keys.iter().map(|key| key.data_type(&input)).collect::<Result<Vec<_>>>()?;
    if !keys::are_supported(&types) {
        return Ok(None);
    }
    Ok(Some(Arc::new(AggregateByNumberExec::new(aggregation.clone()))))
}

/// Whether orders are gathered, and beside them nothing but sums, whose rows all become states where memory is short.
fn gathers_orders(aggregates: &[Arc<AggregateFunctionExpr>]) -> bool {
    const GATHERS: &str = "customer_orders";
    let is_known = |aggregate: &AggregateFunctionExpr| {
        let is_plain = !aggregate.is_distinct() && aggregate.order_bys().is_empty();
        is_plain && [GATHERS, "sum"].contains(&aggregate.fun().name())
    };
    aggregates.iter().any(|aggregate| aggregate.fun().name() == GATHERS)
        && aggregates.iter().all(|aggregate| is_known(aggregate))
}

/// Aggregates by keys of which the first is an integer. Beside the aggregates it takes 21 to 43 bytes a group,
/// where these are many.
#[derive(Debug)]
pub struct AggregateByNumberExec {
    /// The same by the engine.
    aggregation: AggregateExec,
    metrics: ExecutionPlanMetricsSet,
    /// What the engine does where memory is short.
    by_engine: Arc<Mutex<Vec<AggregateExec>>>,
}

impl AggregateByNumberExec {
    fn new(aggregation: AggregateExec) -> Self {
        Self { aggregation, metrics: ExecutionPlanMetricsSet::new(), by_engine: Arc::default() }
    }
}

impl DisplayAs for AggregateByNumberExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "AggregateByNumberExec: {}", keys_and_aggregates(&self.aggregation))
    }
}

impl ExecutionPlan for AggregateByNumberExec {
    fn name(&self) -> &'static str {
        "AggregateByNumberExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.aggregation.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.aggregation.children()
    }

    fn apply_expressions(
        &self,
        apply: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.aggregation.apply_expressions(apply)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let aggregation = replace_children_if_necessary(Arc::new(self.aggregation.clone()), children)?;
        let Some(aggregation) = aggregation.downcast_ref::<AggregateExec>() else {
            return internal_err!("an aggregation is no {}", aggregation.name());
        };
        Ok(Arc::new(Self::new(aggregation.clone())))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        let mut all = self.metrics.clone_inner();
        for aggregation in self.by_engine.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            aggregation
                .metrics()
                .iter()
                .flat_map(MetricsSet::iter)
                .for_each(|metric| all.push(Arc::clone(metric)));
        }
        Some(all)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let measured = BaselineMetrics::new(&self.metrics, partition);
        let left_to_engine = MetricBuilder::new(&self.metrics).counter("left_to_engine", partition);
        let rows = self.aggregation.input().execute(partition, Arc::clone(&context))?;
        let groups = Groups::try_new(&self.aggregation, &context, partition)?;
        let aggregation = self.aggregation.clone();
        let by_engine = Arc::clone(&self.by_engine);
        let left = move |groups, rows, context| {
            left_to_engine.add(1);
            let last = merged_by_engine(&aggregation, groups, rows)?;
            by_engine.lock().unwrap_or_else(PoisonError::into_inner).push(last.clone());
            execute_stream(Arc::new(last), context)
        };
        let aggregated = aggregated(groups, rows, context, measured, left);
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), stream::once(aggregated).try_flatten())))
    }
}

/// The groups of all rows, or what becomes of them and the rest of the rows where they do not fit into memory.
async fn aggregated(
    mut groups: Groups,
    mut rows: SendableRecordBatchStream,
    context: Arc<TaskContext>,
    measured: BaselineMetrics,
    left: impl FnOnce(Groups, SendableRecordBatchStream, Arc<TaskContext>) -> Result<SendableRecordBatchStream>,
) -> Result<SendableRecordBatchStream> {
    while let Some(batch) = rows.try_next().await? {
        let _timer = measured.elapsed_compute().timer();
        groups.update(&batch)?;
        if !groups.fit() {
            return left(groups, rows, context);
        }
    }
    drop(rows);
    let _timer = measured.elapsed_compute().timer();
    let batch_size = context.session_config().batch_size();
    let (groups, reservation) = groups.end()?;
    measured.record_output(groups.num_rows());
    let (schema, rows) = (groups.schema(), groups.num_rows());
    let batches = stream::iter((0..rows).step_by(batch_size)).map(move |start| {
        // as long as the slices, which are parts of one
        let _reservation = &reservation;
        Ok(groups.slice(start, batch_size.min(rows - start)))
    });
    Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
}

/// An aggregation that merges the groups so far with the rest of the rows, all as states.
fn merged_by_engine(
    aggregation: &AggregateExec,
    groups: Groups,
    rows: SendableRecordBatchStream,
) -> Result<AggregateExec> {
    let first = AggregateExec::try_new(
        AggregateMode::Partial,
        aggregation.group_expr().clone(),
        aggregation.aggr_expr().to_vec(),
        aggregation.filter_expr().to_vec(),
        Arc::clone(aggregation.input()),
        aggregation.input_schema(),
    )?;
    let schema = first.schema();
    let rest = states_of_rows(aggregation, rows, Arc::clone(&schema))?;
    let states = groups.into_states(Arc::clone(&schema))?.chain(rest);
    let states = RecordBatchStreamAdapter::new(Arc::clone(&schema), states);
    let states = Once { schema: Arc::clone(&schema), batches: Mutex::new(Some(Box::pin(states))) };
    let states = StreamingTableExec::try_new(schema, vec![Arc::new(states)], None, [], false, None)?;
    AggregateExec::try_new(
        AggregateMode::Final,
        first.group_expr().as_final(),
        first.aggr_expr().to_vec(),
        vec![None; first.aggr_expr().len()],
        Arc::new(states),
        first.input_schema(),
    )
}

/// Rows as states, as if each were a group of its own.
fn states_of_rows(
    aggregation: &AggregateExec,
    rows: SendableRecordBatchStream,
    schema: SchemaRef,
) -> Result<impl Stream<Item = Result<RecordBatch>> + use<>> {
    let keys = aggregation.group_expr().input_exprs();
    let mut aggregates = GroupedAggregate::all_of(aggregation)?;
    Ok(rows.map(move |batch| {
        let batch = batch?;
        let mut columns = keys.iter().map(|key| values_of(key, &batch)).collect::<Result<Vec<_>>>()?;
        for aggregate in &mut aggregates {
            columns.extend(aggregate.states_of(&batch)?);
        }
        Ok(RecordBatch::try_new(Arc::clone(&schema), columns)?)
    }))
}

/// Groups in memory.
struct Groups {
    schema: SchemaRef,
    keys: Keys,
    aggregates: Vec<GroupedAggregate>,
    reservation: MemoryReservation,
    /// By row of a batch its group.
    group_of: Vec<usize>,
}

impl Groups {
    fn try_new(aggregation: &AggregateExec, context: &TaskContext, partition: usize) -> Result<Self> {
        let consumer = MemoryConsumer::new(format!("AggregateByNumberExec[{partition}]"));
        Ok(Self {
            schema: aggregation.schema(),
            keys: Keys::try_new(aggregation.group_expr().input_exprs(), &aggregation.input().schema())?,
            aggregates: GroupedAggregate::all_of(aggregation)?,
            reservation: consumer.with_can_spill(true).register(context.memory_pool()),
            group_of: Vec::new(),
        })
    }

    fn update(&mut self, batch: &RecordBatch) -> Result<()> {
        let groups = self.keys.find(batch, &mut self.group_of)?;
        let mut aggregates = self.aggregates.iter_mut();
        aggregates.try_for_each(|aggregate| aggregate.update(batch, &self.group_of, groups))
    }

    /// Whether there is memory for them, and numbers for more to come.
    fn fit(&mut self) -> bool {
        let size =
            self.keys.size() + self.group_of.capacity() * size_of::<usize>() + size_of_all(&self.aggregates);
        self.reservation.try_resize(size).is_ok() && self.keys.has_room()
    }

    /// Keys and aggregates of all groups, and the memory that is set aside for them.
    fn end(mut self) -> Result<(RecordBatch, MemoryReservation)> {
        let mut columns = self.keys.into_columns()?;
        for aggregate in &mut self.aggregates {
            columns.push(aggregate.accumulator.evaluate(EmitTo::All)?);
        }
        let groups = RecordBatch::try_new(self.schema, columns)?;
        // there is no way back: what is taken is taken, granted or not
        let size = groups.get_array_memory_size();
        self.reservation.shrink(self.reservation.size().saturating_sub(size));
        self.reservation.grow(size.saturating_sub(self.reservation.size()));
        Ok((groups, self.reservation))
    }

    /// Keys and states of all groups, part after part: what is left of the orders shrinks as what merges them grows.
    fn into_states(self, schema: SchemaRef) -> Result<impl Stream<Item = Result<RecordBatch>>> {
        const PARTS: usize = 8;
        let Self { keys, mut aggregates, reservation, .. } = self;
        let keys = keys.into_columns()?;
        let size_of_keys: usize = keys.iter().map(Array::get_array_memory_size).sum();
        let groups = keys[0].len();
        let size = groups.div_ceil(PARTS).max(1);
        let starts = (0..groups).step_by(size);
        Ok(stream::iter(starts).map(move |start| {
            let size = size.min(groups - start);
            let mut columns: Vec<ArrayRef> = keys.iter().map(|key| key.slice(start, size)).collect();
            for aggregate in &mut aggregates {
                columns.extend(aggregate.accumulator.state(EmitTo::First(size))?);
            }
            let left = size_of_keys + size_of_all(&aggregates);
            reservation.shrink(reservation.size().saturating_sub(left));
            Ok(RecordBatch::try_new(Arc::clone(&schema), columns)?)
        }))
    }
}

fn size_of_all(aggregates: &[GroupedAggregate]) -> usize {
    aggregates.iter().map(|aggregate| aggregate.accumulator.size()).sum()
}

/// Batches that are read once.
struct Once {
    schema: SchemaRef,
    batches: Mutex<Option<SendableRecordBatchStream>>,
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl PartitionStream for Once {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner).take();
        let schema = Arc::clone(&self.schema);
        batches.unwrap_or_else(|| Box::pin(RecordBatchStreamAdapter::new(schema, stream::empty())))
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Int64Array, StringViewArray};
    use datafusion::datasource::MemTable;
    use datafusion::prelude::SessionContext;
    use proptest::prelude::*;

    use super::*;
    use crate::test_session::{found, session};

    /// A session with a memory limit, and two partitions.
    fn context(memory_limit: &str) -> SessionContext {
        session(memory_limit, 2)
    }

    /// What is known of each customer and reason by our aggregate.
    const OURS: &str = "SELECT customer, reason, is_late, o['orders'], o['active_days'], o['monetary'], o['first_order_date'], o['lines'], total \
         FROM (SELECT customer, reason, is_late, sum(amount) AS total, \
               customer_orders(order_id, day, amount, 2) FILTER (WHERE order_id <> 3) AS o \
               FROM line GROUP BY customer, reason, is_late) ORDER BY customer, reason, is_late";

    /// The same by the engine's.
    const THEIRS: &str = "SELECT customer, reason, is_late, count(DISTINCT order_id) FILTER (WHERE order_id <> 3), \
         count(DISTINCT day) FILTER (WHERE order_id <> 3), coalesce(sum(amount) FILTER (WHERE order_id <> 3), 0), \
         min(day) FILTER (WHERE order_id <> 3), 2 * count(order_id) FILTER (WHERE order_id <> 3), sum(amount) \
         FROM line GROUP BY customer, reason, is_late ORDER BY customer, reason, is_late";

    const VIEW: &str = "CREATE VIEW line AS SELECT customer, reason, reason = 'return' AS is_late, order_id, \
         CAST(CAST(order_id % 5 AS INT) AS DATE) AS day, CAST(amount AS DECIMAL(38, 4)) AS amount FROM row";

    proptest! {
        // each plans three queries
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn groups_are_those_of_the_engine(
            rows in prop::collection::vec(
                (
                    prop::option::weighted(0.8, prop_oneof![-2..4_i64, any::<i64>()]),
                    prop::option::weighted(0.3, prop_oneof!["return", "a reason longer than a view", ""]),
                    0..9_i64,
                    prop::option::of(-9..9_i64),
                ),
                0..200,
            ),
            at_a_time in 1..90_usize,
        ) {
            let columns: Vec<ArrayRef> = vec![
                Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>()),
                Arc::new(rows.iter().map(|row| row.1.as_deref()).collect::<StringViewArray>()),
                Arc::new(rows.iter().map(|row| row.2).collect::<Int64Array>()),
                Arc::new(rows.iter().map(|row| row.3).collect::<Int64Array>()),
            ];
            let names = ["customer", "reason", "order_id", "amount"];
            let all = RecordBatch::try_from_iter_with_nullable(
                names.into_iter().zip(columns).map(|(name, column)| (name, column, true)),
            ).unwrap();
            let mut batches = vec![Vec::new(); 2];
            for (place, start) in (0..rows.len()).step_by(at_a_time).enumerate() {
                batches[place % 2].push(all.slice(start, at_a_time.min(rows.len() - start)));
            }
            let context = context("1GiB");
            context.register_table("row", Arc::new(MemTable::try_new(all.schema(), batches).unwrap())).unwrap();
            found(&context, VIEW);
            let plan = found(&context, &format!("EXPLAIN {OURS}"));
            prop_assert!(plan.contains("AggregateByNumberExec"), "{plan}");
            let lines = |table: String| -> Vec<String> {
                table.lines().skip(3).filter(|line| line.starts_with('|')).map(|line| line.replace(' ', "")).collect()
            };
            prop_assert_eq!(lines(found(&context, OURS)), lines(found(&context, THEIRS)));
        }
    }

    /// So many customers that a small limit does not hold them: 16 orders each, some of two reasons.
    const MANY: &str = "CREATE TABLE row AS SELECT CASE WHEN i % 11 > 0 THEN i % 20000 END AS customer, \
         CASE WHEN i % 7 = 0 THEN concat('reason ', i % 3) END AS reason, i / 2 AS order_id, i % 1000 AS amount \
         FROM (SELECT unnest(range(0, 320000)) AS i)";

    #[test]
    fn what_does_not_fit_into_memory_is_left_to_the_engine_and_comes_to_the_same() {
        let sums = |of: &str| {
            format!(
                "SELECT count(*), count(customer), count(reason), sum(customer % 89 * orders), sum(orders), sum(days), sum(money), \
                 min(first), sum(lines), sum(total) FROM ({of}) AS found (customer, reason, is_late, orders, days, money, first, lines, total)"
            )
        };
        let (ample, short) = (context("1GiB"), context("16MiB"));
        for context in [&ample, &short] {
            found(context, MANY);
            found(context, VIEW);
        }
        let left_to_engine = |context| {
            let analyzed = found(context, &format!("EXPLAIN ANALYZE {OURS}"));
            let line =
                analyzed.lines().find(|line| line.contains("AggregateByNumberExec")).unwrap().to_owned();
            assert!(!line.contains("output_rows=0"), "{line}");
            !line.contains("left_to_engine=0")
        };
        assert!(!left_to_engine(&ample) && left_to_engine(&short));
        assert_eq!(found(&short, &sums(OURS)), found(&ample, &sums(THEIRS)));
    }

    #[test]
    fn other_aggregations_stay_as_they_are() {
        // in one partition they would come in one step, too
        let context = session("1GiB", 1);
        found(&context, MANY);
        let orders = "customer_orders(order_id, CAST(NULL AS DATE), 1)";
        for sql in [
            format!("SELECT {orders} FROM row"),
            format!("SELECT {orders} FROM row GROUP BY reason"),
            format!("SELECT {orders} FROM row GROUP BY CAST(customer AS BIGINT UNSIGNED)"),
            format!("SELECT {orders} FROM row GROUP BY customer, CAST(amount AS DOUBLE)"),
            format!("SELECT {orders} FROM row GROUP BY ROLLUP (customer, reason)"),
            format!("SELECT {orders}, count(*) FROM row GROUP BY customer"),
            format!("SELECT {orders}, sum(DISTINCT amount) FROM row GROUP BY customer"),
            "SELECT sum(amount) FROM row GROUP BY customer".to_owned(),
        ] {
            let plan = found(&context, &format!("EXPLAIN {sql}"));
            assert!(
                plan.contains("AggregateExec") && !plan.contains("AggregateByNumberExec"),
                "{sql}: {plan}"
            );
        }
        for key in ["customer", "CAST(customer AS INT)"] {
            let plan = found(&context, &format!("EXPLAIN SELECT {orders} FROM row GROUP BY {key}"));
            assert!(plan.contains("AggregateByNumberExec"), "{plan}");
        }
    }
}
