//! A rule for the planner, and its operator: rows in memory are put in the order of a text before they grow wide.
//!
//! Scored customers have three times the columns that they are made of, and are published in the order of their ids. Sorting and merging
//! them as they are published moves every column twice; sorted first, their rows are told apart by eight bytes of the id and an
//! index, and the few columns that they have until then move once. What follows takes row by row and keeps the order.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{AsArray, RecordBatch, StringArray};
use datafusion::arrow::compute::interleave_record_batch;
use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::catalog::memory::{DataSourceExec, MemorySourceConfig};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{EquivalenceProperties, LexOrdering, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
    SendableRecordBatchStream, replace_children_if_necessary,
};
use futures::{StreamExt, TryStreamExt, stream};

use crate::planner_rule::{PlannerRule, Replacement};

/// Puts [`TextSortExec`] over rows in memory in the place of a sort of what is made of each of them.
pub const SORT_EARLY: PlannerRule = PlannerRule("sort_early", sorted_early);

fn sorted_early(plan: &Arc<dyn ExecutionPlan>) -> Replacement {
    let order = if let Some(merge) = plan.downcast_ref::<SortPreservingMergeExec>() {
        Some(merge.expr()).filter(|_| merge.fetch().is_none())
    } else {
        // partitions that are sorted each are merged further above
        let is_whole = plan.output_partitioning().partition_count() == 1;
        plan.downcast_ref::<SortExec>().filter(|sort| is_whole && sort.fetch().is_none()).map(SortExec::expr)
    };
    let Some(column) = order.and_then(|order| text_column(order, &plan.schema())) else { return Ok(None) };
    let [input] = plan.children()[..] else { return Ok(None) };
    sorted_below(input, column)
}

/// The one column that an order is by, where that is a text, ascending, what has none last.
fn text_column(order: &LexOrdering, schema: &Schema) -> Option<usize> {
    let [by] = &order[..] else { return None };
    let column = by.expr.downcast_ref::<Column>()?.index();
    let is_text = *schema.field(column).data_type() == DataType::Utf8;
    (is_text && !by.options.descending && !by.options.nulls_first).then_some(column)
}

/// A plan with the rows in memory sorted that it makes its own of, one by one and in their order; none where it does anything else.
fn sorted_below(plan: &Arc<dyn ExecutionPlan>, column: usize) -> Replacement {
    if let Some(source) = plan.downcast_ref::<DataSourceExec>() {
        let is_in_memory = source.data_source().downcast_ref::<MemorySourceConfig>().is_some();
        return Ok(is_in_memory.then(|| sorted(plan, column)));
    }
    if let Some(sort) = plan.downcast_ref::<SortExec>() {
        // the same order, on its way up
        let is_same = sort.fetch().is_none() && text_column(sort.expr(), &sort.schema()) == Some(column);
        return if is_same { sorted_below(sort.input(), column) } else { Ok(None) };
    }
    let (Some(below), [input]) = (origin(plan, column), &plan.children()[..]) else { return Ok(None) };
    let Some(sorted) = sorted_below(input, below)? else { return Ok(None) };
    replace_children_if_necessary(Arc::clone(plan), vec![sorted]).map(Some)
}

fn sorted(rows: &Arc<dyn ExecutionPlan>, column: usize) -> Arc<dyn ExecutionPlan> {
    Arc::new(TextSortExec::new(Arc::clone(rows), column))
}

/// Of which column of its input a column comes unchanged, where an operator keeps the order of the input's rows.
fn origin(plan: &Arc<dyn ExecutionPlan>, column: usize) -> Option<usize> {
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let from = projection.expr()[column].expr.downcast_ref::<Column>()?;
        return Some(from.index());
    }
    let filter = plan.downcast_ref::<FilterExec>()?;
    Some(filter.projection().as_ref().map_or(column, |projection| projection[column]))
}

/// Rows in memory in the order of a text column. Beside them it takes 16 bytes a row; where there is less, the engine's own sort, which
/// spills, takes its place.
#[derive(Debug)]
pub struct TextSortExec {
    rows: Arc<dyn ExecutionPlan>,
    column: usize,
    /// The same by the engine.
    instead: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl TextSortExec {
    fn new(rows: Arc<dyn ExecutionPlan>, column: usize) -> Self {
        let schema = rows.schema();
        let by = Column::new(schema.field(column).name(), column);
        let by = PhysicalSortExpr::new_default(Arc::new(by)).asc().nulls_last();
        let order = LexOrdering::from([by]);
        let sort = SortExec::new(order.clone(), Arc::clone(&rows)).with_preserve_partitioning(true);
        let properties = PlanProperties::new(
            EquivalenceProperties::new_with_orderings(schema, [order.clone()]),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Self {
            rows,
            column,
            instead: Arc::new(SortPreservingMergeExec::new(order, Arc::new(sort))),
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }
}

impl DisplayAs for TextSortExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "TextSortExec: expr=[{}]", self.rows.schema().field(self.column).name())
    }
}

impl ExecutionPlan for TextSortExec {
    fn name(&self) -> &'static str {
        "TextSortExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.rows]
    }

    fn apply_expressions(
        &self,
        _apply: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(rows) = children.pop() else { return internal_err!("a sort has an input") };
        Ok(sorted(&rows, self.column))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let measured = BaselineMetrics::new(&self.metrics, partition);
        let partitions = self.rows.output_partitioning().partition_count();
        let rows = (0..partitions).map(|partition| self.rows.execute(partition, Arc::clone(&context)));
        let rows = rows.collect::<Result<Vec<_>>>()?;
        let (column, instead) = (self.column, Arc::clone(&self.instead));
        let sorted = async move {
            let rows: Vec<RecordBatch> = stream::iter(rows).flatten().try_collect().await?;
            let consumer = MemoryConsumer::new("order of rows in memory");
            let reservation = consumer.register(context.memory_pool());
            let count: usize = rows.iter().map(RecordBatch::num_rows).sum();
            if reservation.try_grow(count * size_of::<Place>()).is_err() {
                return instead.execute(0, context);
            }
            let schema = instead.schema();
            let places = {
                let _timer = measured.elapsed_compute().timer();
                ordered(&rows, column)
            };
            let at_a_time = context.session_config().batch_size();
            let batches = in_order(InOrder { rows, places, at_a_time, measured, _reservation: reservation });
            Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)) as SendableRecordBatchStream)
        };
        let sorted = stream::once(sorted).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), sorted)))
    }
}

/// A row's text up to its eighth byte, as a number of the same order, and where the row stands.
#[derive(Debug, Clone, Copy)]
struct Place {
    prefix: u64,
    batch: u32,
    row: u32,
}

fn prefix(text: &str) -> u64 {
    let mut bytes = [0; 8];
    let length = text.len().min(bytes.len());
    bytes[..length].copy_from_slice(&text.as_bytes()[..length]);
    u64::from_be_bytes(bytes)
}

/// Where rows stand in the order of a text, those without one last.
fn ordered(rows: &[RecordBatch], column: usize) -> Vec<Place> {
    let texts: Vec<&StringArray> = rows.iter().map(|batch| batch.column(column).as_string::<i32>()).collect();
    let (mut places, mut without) = (Vec::new(), Vec::new());
    for (batch, texts) in (0_u32..).zip(&texts) {
        for (row, text) in (0_u32..).zip(texts.iter()) {
            match text {
                Some(text) => places.push(Place { prefix: prefix(text), batch, row }),
                None => without.push(Place { prefix: u64::MAX, batch, row }),
            }
        }
    }
    let text = |place: &Place| texts[place.batch as usize].value(place.row as usize);
    places.sort_unstable_by(|a, b| match a.prefix.cmp(&b.prefix) {
        Ordering::Equal => text(a).cmp(text(b)),
        unequal => unequal,
    });
    places.append(&mut without);
    places
}

struct InOrder {
    rows: Vec<RecordBatch>,
    places: Vec<Place>,
    at_a_time: usize,
    measured: BaselineMetrics,
    /// Of the places, for as long as they are used.
    _reservation: MemoryReservation,
}

/// The rows in order, batch by batch as they are asked for.
fn in_order(rows: InOrder) -> impl futures::Stream<Item = Result<RecordBatch>> {
    stream::try_unfold((rows, 0), |(of, start)| async move {
        let end = of.places.len().min(start + of.at_a_time);
        if start == end {
            return Ok(None);
        }
        let batch = {
            let _timer = of.measured.elapsed_compute().timer();
            let rows: Vec<&RecordBatch> = of.rows.iter().collect();
            let places = of.places[start..end].iter();
            let places: Vec<_> = places.map(|place| (place.batch as usize, place.row as usize)).collect();
            interleave_record_batch(&rows, &places)?
        };
        of.measured.record_output(batch.num_rows());
        Ok(Some((batch, (of, end))))
    })
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{ArrayRef, Int64Array, UInt64Array};
    use datafusion::arrow::compute::take_record_batch;
    use datafusion::arrow::datatypes::Int64Type;
    use datafusion::datasource::MemTable;
    use datafusion::prelude::SessionContext;
    use proptest::prelude::*;

    use super::*;
    use crate::test_session::{batches, found, session};

    fn context() -> SessionContext {
        context_of(2)
    }

    fn context_of(partitions: usize) -> SessionContext {
        session("24MiB", partitions)
    }

    /// Registers texts by number, so many to a batch, spread over the partitions.
    fn register(context: &SessionContext, texts: &[Option<String>], at_a_time: usize) {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(texts.iter().map(Option::as_deref).collect::<StringArray>()),
            Arc::new((0..texts.len() as i64).collect::<Int64Array>()),
        ];
        let all = RecordBatch::try_from_iter(["id", "number"].into_iter().zip(columns)).unwrap();
        let mut partitions = vec![Vec::new(); context.copied_config().target_partitions()];
        let count = partitions.len();
        for (place, start) in (0..texts.len()).step_by(at_a_time).enumerate() {
            // a slice would count as the whole
            let rows = (start..texts.len().min(start + at_a_time)).map(|row| row as u64);
            let batch = take_record_batch(&all, &UInt64Array::from_iter_values(rows)).unwrap();
            partitions[place % count].push(batch);
        }
        context
            .register_table("row", Arc::new(MemTable::try_new(all.schema(), partitions).unwrap()))
            .unwrap();
    }

    fn plan(context: &SessionContext, sql: &str) -> String {
        found(context, &format!("EXPLAIN {sql}"))
    }

    /// Rows as ids with their numbers.
    fn rows_of(batches: &[RecordBatch]) -> Vec<(Option<String>, i64)> {
        let rows = batches.iter().flat_map(|batch| {
            let ids = batch.column(0).as_string::<i32>().iter().map(|id| id.map(str::to_owned));
            let numbers = batch.column(1).as_primitive::<Int64Type>();
            ids.zip(numbers.values().iter().copied()).collect::<Vec<_>>()
        });
        rows.collect()
    }

    #[test]
    fn rows_are_sorted_before_what_makes_them_wide() {
        let context = context();
        register(
            &context,
            &(0..50).map(|number| Some(format!("{}", number * 17 % 50))).collect::<Vec<_>>(),
            7,
        );
        let wide = "SELECT id, number, number * 3 AS product FROM row WHERE number <> 40 ORDER BY id";
        let sorts = plan(&context, wide);
        assert!(sorts.contains("TextSortExec: expr=[id]"), "{sorts}");
        assert!(
            !sorts.contains("SortExec: expr=[id@") && !sorts.contains("SortPreservingMergeExec"),
            "{sorts}"
        );
        let ids: Vec<_> = rows_of(&batches(&context, wide)).into_iter().map(|(id, _)| id).collect();
        assert!(ids.is_sorted() && ids.len() == 49, "{ids:?}");
    }

    #[test]
    fn what_is_sorted_otherwise_stays_as_it_is() {
        let context = context();
        register(&context, &[Some("b".to_owned()), None, Some("a".to_owned())], 1);
        for sql in [
            "SELECT id FROM row ORDER BY id DESC",
            "SELECT id FROM row ORDER BY id NULLS FIRST",
            "SELECT id FROM row ORDER BY id, number",
            "SELECT id FROM row ORDER BY id LIMIT 1",
            "SELECT number FROM row ORDER BY number",
            "SELECT concat(id, 'x') AS id FROM row ORDER BY id",
            "SELECT id, count(*) FROM row GROUP BY id ORDER BY id",
            "SELECT row.id FROM (VALUES (1), (2)) AS two (n) CROSS JOIN row ORDER BY row.id",
            "SELECT id FROM row LEFT JOIN (VALUES (1), (2)) AS two (n) ON number = n ORDER BY id",
        ] {
            let sorts = plan(&context, sql);
            assert!(!sorts.contains("TextSortExec"), "{sql}: {sorts}");
        }
    }

    #[test]
    fn the_engine_sorts_where_memory_is_short() {
        // sorts side by side may take the memory from one another that merging needs
        let context = context_of(1);
        let ids: Vec<_> =
            (0..400_000_u64).map(|number| Some((number * 7_919 % 400_009).to_string())).collect();
        register(&context, &ids, 8_192);
        let others = MemoryConsumer::new("others").register(&context.runtime_env().memory_pool);
        let sorted_by_us = |context: &SessionContext| {
            let analyzed = found(context, "EXPLAIN ANALYZE SELECT id, number FROM row ORDER BY id");
            let line = analyzed.lines().find(|line| line.contains("TextSortExec")).map(str::to_owned);
            line.unwrap().contains("output_rows=400.0 K")
        };
        assert!(sorted_by_us(&context));
        // less than the 16 bytes a row are left
        others.grow((24 << 20) - 6_300_000);
        assert!(!sorted_by_us(&context));
        let mut expected: Vec<_> = (0..).zip(ids).map(|(number, id)| (id, number)).collect();
        expected.sort_unstable();
        assert!(rows_of(&batches(&context, "SELECT id, number FROM row ORDER BY id")) == expected);
    }

    proptest! {
        // each plans a query
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn rows_come_in_the_order_of_their_texts(texts in prop::collection::vec(prop::option::of("[ab\u{0}é]{0,11}"), 0..60), at_a_time in 1usize..20) {
            let context = context();
            register(&context, &texts, at_a_time);
            let sql = "SELECT id, number FROM row ORDER BY id";
            let mut rows = rows_of(&batches(&context, sql));
            let in_order = rows.windows(2).all(|two| match (&two[0].0, &two[1].0) {
                (Some(first), Some(second)) => first.as_bytes() <= second.as_bytes(),
                (_, second) => second.is_none(),
            });
            prop_assert!(in_order, "{:?}", rows);
            rows.sort_unstable_by_key(|row| row.1);
            prop_assert_eq!(rows, texts.into_iter().zip(0..).collect::<Vec<_>>());
        }
    }
}
