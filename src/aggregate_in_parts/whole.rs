//! All rows of a partition in one part, or in as many as memory makes of them.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::compute::filter;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryReservation};
use datafusion::logical_expr::Accumulator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::metrics::BaselineMetrics;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, SendableRecordBatchStream};
use futures::{Stream, TryStreamExt, stream};

use crate::grouped_aggregate::Given;

/// A part that takes more bytes ends: what adds the parts up can spill.
const LARGEST: usize = 256 << 20;

/// Below this many bytes a part is too small to end for want of memory.
const SMALLEST: usize = 1 << 20;

/// After so many rows to look how large a part is.
const ROWS_BETWEEN_LOOKS: usize = 1024;

/// An aggregate, what it is given, and its state.
struct Aggregate {
    function: Arc<AggregateFunctionExpr>,
    given: Given,
    accumulator: Box<dyn Accumulator>,
}

impl Aggregate {
    fn try_new(
        function: &Arc<AggregateFunctionExpr>,
        filter: Option<&Arc<dyn PhysicalExpr>>,
    ) -> Result<Self> {
        let accumulator = function.create_accumulator()?;
        Ok(Self { function: Arc::clone(function), given: Given::to(function, filter), accumulator })
    }

    fn update(&mut self, batch: &RecordBatch) -> Result<()> {
        let (mut arguments, condition) = self.given.of(batch)?;
        if let Some(condition) = condition {
            for argument in &mut arguments {
                *argument = filter(argument, &condition)?;
            }
        }
        self.accumulator.update_batch(&arguments)
    }

    /// What the part comes to, and a new one in its place.
    fn end(&mut self) -> Result<ArrayRef> {
        let mut ended = std::mem::replace(&mut self.accumulator, self.function.create_accumulator()?);
        ended.evaluate()?.to_array()
    }
}

/// Aggregates rows until they take too much memory.
pub(super) struct Whole {
    schema: SchemaRef,
    aggregates: Vec<Aggregate>,
    reservation: MemoryReservation,
    /// A part that takes more bytes ends; what adds the parts up is to have half of the memory.
    largest: usize,
}

impl Whole {
    pub(super) fn try_new(
        aggregation: &AggregateExec,
        context: &TaskContext,
        partition: usize,
    ) -> Result<Self> {
        let pool = context.memory_pool();
        let reservation = MemoryConsumer::new(format!("AggregateInPartsExec[{partition}]")).register(pool);
        let partitions = aggregation.input().output_partitioning().partition_count();
        let largest = match pool.memory_limit() {
            MemoryLimit::Finite(limit) => LARGEST.min(limit / (2 * partitions.max(1))),
            _ => LARGEST,
        };
        let functions = aggregation.aggr_expr().iter().zip(aggregation.filter_expr());
        let aggregates = functions.map(|(function, filter)| Aggregate::try_new(function, filter.as_ref()));
        let aggregates = aggregates.collect::<Result<_>>()?;
        Ok(Self { schema: aggregation.schema(), aggregates, reservation, largest })
    }

    /// The parts of a partition's rows, a row each.
    pub(super) fn parts(
        self,
        rows: SendableRecordBatchStream,
        measured: BaselineMetrics,
    ) -> impl Stream<Item = Result<RecordBatch>> {
        let slices = rows.map_ok(|batch| stream::iter(slices(&batch))).try_flatten();
        stream::try_unfold(Some((self, Box::pin(slices), measured)), |state| async {
            let Some((mut whole, mut slices, measured)) = state else { return Ok(None) };
            while let Some(slice) = slices.try_next().await? {
                let _timer = measured.elapsed_compute().timer();
                whole.update(&slice)?;
                if whole.is_full() {
                    let part = whole.end()?;
                    measured.record_output(1);
                    return Ok(Some((part, Some((whole, slices, measured.clone())))));
                }
            }
            measured.record_output(1);
            Ok(Some((whole.end()?, None)))
        })
    }

    fn update(&mut self, batch: &RecordBatch) -> Result<()> {
        self.aggregates.iter_mut().try_for_each(|aggregate| aggregate.update(batch))
    }

    /// Whether the part is to end, for its own size or for want of memory. One that is small is borne, so that there is a part at all.
    fn is_full(&mut self) -> bool {
        let size = self.aggregates.iter().map(|aggregate| aggregate.accumulator.size()).sum();
        let has_memory = self.reservation.try_resize(size).is_ok();
        if !has_memory && size <= SMALLEST {
            self.reservation.grow(size.saturating_sub(self.reservation.size()));
            return false;
        }
        !has_memory || size > self.largest
    }

    fn end(&mut self) -> Result<RecordBatch> {
        let columns = self.aggregates.iter_mut().map(Aggregate::end).collect::<Result<_>>()?;
        self.reservation.free();
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }
}

/// A batch in slices after each of which to look.
fn slices(batch: &RecordBatch) -> Vec<Result<RecordBatch>> {
    let rows = batch.num_rows();
    let starts = (0..rows).step_by(ROWS_BETWEEN_LOOKS);
    starts.map(|start| Ok(batch.slice(start, ROWS_BETWEEN_LOOKS.min(rows - start)))).collect()
}
