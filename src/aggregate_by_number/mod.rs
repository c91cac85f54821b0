//! A rule for the planner, and its operator: orders are gathered by the number of their customer.
//!
//! Where customers are more than the caches hold, it is waiting for memory that looking one up takes. So rows are not exchanged, each
//! to be looked up when it comes, but wait until they are many, and are added to one bucket of customers after the other (`buckets`),
//! which the caches hold. A customer is found by reading one entry of 16 bytes (`table`), where the engine reads the place of a hash, the
//! hash and the group, and each key of that, all of them apart. What does not fit into memory goes on to the engine (`by_engine`).

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datafusion::common::runtime::SpawnedTask;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::execution::TaskContext;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet,
};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, InputOrderMode, Partitioning,
    PlanProperties, SendableRecordBatchStream, execute_stream, replace_children_if_necessary,
};
use futures::future::{BoxFuture, Shared, ready};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};

use crate::grouped_aggregate::keys_and_aggregates;
use crate::planner_rule::{PlannerRule, Replacement};

mod buckets;
mod by_engine;
mod column;
mod groups;
mod keys;
mod scatter;
mod share;
mod table;

use buckets::Buckets;

/// Puts [`AggregateByNumberExec`] in the place of an aggregation that gathers orders in one step by an integer of up to 64 bits first,
/// and of the exchange before it.
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
    let aggregated = AggregateByNumberExec::of(aggregation);
    Ok(aggregated.map(|aggregated| Arc::new(aggregated) as Arc<dyn ExecutionPlan>))
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

/// Aggregates by keys of which the first is an integer. Beside the aggregates it takes 21 to 43 bytes a group, where these are many; for
/// rows that wait 32 MiB, or as much as the groups where these take more; and for each partition of its input what 131,072 rows take.
#[derive(Debug)]
pub struct AggregateByNumberExec {
    /// The same by the engine, which exchanges rows first unless there is only one partition.
    aggregation: AggregateExec,
    /// The rows before that exchange, and how it parts them.
    input: Arc<dyn ExecutionPlan>,
    partitioning: Partitioning,
    /// By partition, until it is read.
    gathered: Mutex<Vec<Option<Gathered>>>,
    metrics: ExecutionPlanMetricsSet,
    /// What the engine does where memory is short.
    by_engine: Arc<Mutex<Vec<AggregateExec>>>,
}

/// What all partitions of the input came to, which the first to be read begins.
type Gathered = Shared<BoxFuture<'static, Result<Arc<AllGathered>, Arc<DataFusionError>>>>;

struct AllGathered {
    buckets: Arc<Buckets>,
    /// What there was no memory for.
    rest: Option<RepartitionExec>,
}

impl AggregateByNumberExec {
    /// In the place of an aggregation whose rows are exchanged for it, or come in one partition.
    fn of(aggregation: &AggregateExec) -> Option<Self> {
        let (input, partitioning) = match aggregation.input().downcast_ref::<RepartitionExec>() {
            Some(exchange) => (exchange.input(), exchange.partitioning().clone()),
            None => (aggregation.input(), Partitioning::Hash(aggregation.group_expr().input_exprs(), 1)),
        };
        let is_whole = matches!(partitioning, Partitioning::Hash(_, partitions)
            if partitions == aggregation.properties().partitioning.partition_count());
        is_whole.then(|| Self {
            input: Arc::clone(input),
            partitioning,
            gathered: Mutex::default(),
            metrics: ExecutionPlanMetricsSet::new(),
            by_engine: Arc::default(),
            aggregation: aggregation.clone(),
        })
    }

    /// What is gathered for a partition.
    fn gathered(&self, partition: usize, context: &Arc<TaskContext>) -> Result<Gathered> {
        let mut gathered = locked(&self.gathered);
        if gathered.is_empty() {
            let gather = self.gather(Arc::clone(context))?;
            let gather = gather.map(|gathered| gathered.map(Arc::new).map_err(Arc::new)).boxed().shared();
            *gathered = vec![Some(gather); self.partitioning.partition_count()];
        }
        let Some(gathered) = gathered.get_mut(partition).and_then(Option::take) else {
            return internal_err!("partition {partition} is read once");
        };
        Ok(gathered)
    }

    /// Gathers the groups of all partitions of the input, side by side.
    fn gather(&self, context: Arc<TaskContext>) -> Result<impl Future<Output = Result<AllGathered>> + use<>> {
        let Partitioning::Hash(keys, partitions) = self.partitioning.clone() else {
            return internal_err!("rows are not exchanged by {}", self.partitioning);
        };
        let inputs = self.input.output_partitioning().partition_count();
        let buckets = Buckets::try_new(self.aggregation.clone(), keys, partitions, inputs, &context)?;
        let buckets = Arc::new(buckets);
        let (input, partitioning) = (Arc::clone(&self.input), self.partitioning.clone());
        let metrics = self.metrics.clone();
        Ok(async move {
            let tasks = FuturesUnordered::new();
            for partition in 0..inputs {
                let rows = input.execute(partition, Arc::clone(&context))?;
                let measured = MetricBuilder::new(&metrics).elapsed_compute(partition);
                let task = SpawnedTask::spawn(Arc::clone(&buckets).gather(partition, rows, measured));
                tasks.push(
                    task.map(|ended| {
                        ended.map_err(|error| DataFusionError::ExecutionJoin(Box::new(error)))?
                    }),
                );
            }
            // the first that fails ends them all
            let rest: Vec<_> = tasks.try_filter_map(|rest| ready(Ok(rest))).try_collect().await?;
            let exchanged = |rest| by_engine::exchanged(rest, input.schema(), partitioning);
            let rest = Some(rest).filter(|rest| !rest.is_empty()).map(exchanged).transpose()?;
            Ok(AllGathered { buckets, rest })
        })
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl DisplayAs for AggregateByNumberExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(
            f,
            "AggregateByNumberExec: {}, partitioning={}",
            keys_and_aggregates(&self.aggregation),
            self.partitioning
        )
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
        vec![&self.input]
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
        let below = self.aggregation.input();
        if below.is::<RepartitionExec>() {
            children = vec![replace_children_if_necessary(Arc::clone(below), children)?];
        }
        let aggregation = replace_children_if_necessary(Arc::new(self.aggregation.clone()), children)?;
        let Some(aggregated) = aggregation.downcast_ref::<AggregateExec>().and_then(Self::of) else {
            return internal_err!("an aggregation stays one");
        };
        Ok(Arc::new(aggregated))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        let mut all = self.metrics.clone_inner();
        for aggregation in locked(&self.by_engine).iter() {
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
        let gathered = self.gathered(partition, &context)?;
        let aggregation = self.aggregation.clone();
        let by_engine = Arc::clone(&self.by_engine);
        let rows = async move {
            let AllGathered { buckets, rest } = &*gathered.await.map_err(DataFusionError::Shared)?;
            let buckets = Arc::clone(buckets);
            let Some(rest) = rest else {
                return Ok(rows_of(buckets, partition, &context, measured));
            };
            left_to_engine.add(1);
            let measured = measured.elapsed_compute().clone();
            let states = |schema| buckets.states(partition, schema, measured);
            let rest = rest.execute(partition, Arc::clone(&context))?;
            let merged = by_engine::merged(&aggregation, states, rest)?;
            locked(&by_engine).push(merged.clone());
            execute_stream(Arc::new(merged), context)
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), stream::once(rows).try_flatten())))
    }
}

/// The groups of a partition that are all in memory, in batches.
fn rows_of(
    buckets: Arc<Buckets>,
    partition: usize,
    context: &TaskContext,
    measured: BaselineMetrics,
) -> SendableRecordBatchStream {
    let batch_size = context.session_config().batch_size();
    let schema = buckets.schema();
    let batches =
        buckets.results(partition, measured.elapsed_compute().clone()).map_ok(move |(groups, share)| {
            measured.record_output(groups.num_rows());
            let rows = groups.num_rows();
            stream::iter((0..rows).step_by(batch_size)).map(move |start| {
                // as long as the slices, which are parts of one
                let _share = &share;
                Ok(groups.slice(start, batch_size.min(rows - start)))
            })
        });
    Box::pin(RecordBatchStreamAdapter::new(schema, batches.try_flatten()))
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

    /// What is known of each customer and reason by our aggregate.
    const OURS: &str = "SELECT customer, reason, is_late, o['orders'], o['active_days'], o['monetary'], o['first_order_date'], o['lines'], total \
         FROM (SELECT customer, reason, is_late, sum(amount) AS total, \
               customer_orders(order_id, day, amount, 2) FILTER (WHERE number <> 3) AS o \
               FROM line GROUP BY customer, reason, is_late) ORDER BY customer, reason, is_late";

    /// The same by the engine's.
    const THEIRS: &str = "SELECT customer, reason, is_late, count(DISTINCT order_id) FILTER (WHERE number <> 3), \
         count(DISTINCT day) FILTER (WHERE number <> 3), coalesce(sum(amount) FILTER (WHERE number <> 3), 0), \
         min(day) FILTER (WHERE number <> 3), 2 * count(order_id) FILTER (WHERE number <> 3), sum(amount) \
         FROM line GROUP BY customer, reason, is_late ORDER BY customer, reason, is_late";

    /// The rows with their orders' numbers, and what is their id.
    fn view(order_id: &str) -> String {
        format!(
            "CREATE VIEW line AS SELECT customer, reason, reason = 'return' AS is_late, order_id AS number, {order_id} AS order_id, \
             CAST(CAST(order_id % 5 AS INT) AS DATE) AS day, CAST(amount AS DECIMAL(38, 4)) AS amount FROM row"
        )
    }

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
            order_id in prop::sample::select(vec!["order_id", "concat('an order longer than a view ', order_id)"]),
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
            found(&context, &view(order_id));
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
            found(context, &view("order_id"));
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
