//! All rows of a partition in one part, or in as many as memory makes of them.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::filter;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::logical_expr::Accumulator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::metrics::BaselineMetrics;
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream};
use futures::{Stream, TryStreamExt, stream};

/// A part that takes more bytes ends: what adds the parts up can spill.
const LARGEST: usize = 256 << 20;

/// Below this many bytes a part is too small to end for want of memory.
const SMALLEST: usize = 1 << 20;

/// An aggregate, what it is given, and its state.
struct Aggregate {
    function: Arc<AggregateFunctionExpr>,
    arguments: Vec<Arc<dyn PhysicalExpr>>,
    filter: Option<Arc<dyn PhysicalExpr>>,
    accumulator: Box<dyn Accumulator>,
}

impl Aggregate {
    fn try_new(
        function: &Arc<AggregateFunctionExpr>,
        filter: Option<&Arc<dyn PhysicalExpr>>,
    ) -> Result<Self> {
        let accumulator = function.create_accumulator()?;
        Ok(Self {
            function: Arc::clone(function),
            arguments: function.expressions(),
            filter: filter.cloned(),
            accumulator,
        })
    }

    fn update(&mut self, batch: &RecordBatch) -> Result<()> {
        let rows = batch.num_rows();
        let arguments = self.arguments.iter().map(|argument| argument.evaluate(batch)?.into_array(rows));
        let mut arguments = arguments.collect::<Result<Vec<_>>>()?;
        if let Some(condition) = &self.filter {
            let condition = condition.evaluate(batch)?.into_array(rows)?;
            for argument in &mut arguments {
                *argument = filter(argument, condition.as_boolean())?;
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
}

impl Whole {
    pub(super) fn try_new(aggregation: &AggregateExec, reservation: MemoryReservation) -> Result<Self> {
        let functions = aggregation.aggr_expr().iter().zip(aggregation.filter_expr());
        let aggregates = functions.map(|(function, filter)| Aggregate::try_new(function, filter.as_ref()));
        Ok(Self { schema: aggregation.schema(), aggregates: aggregates.collect::<Result<_>>()?, reservation })
    }

    /// The parts of a partition's rows, a row each.
    pub(super) fn parts(
        self,
        rows: SendableRecordBatchStream,
        measured: BaselineMetrics,
    ) -> impl Stream<Item = Result<RecordBatch>> {
        stream::try_unfold(Some((self, rows, measured)), |state| async {
            let Some((mut whole, mut rows, measured)) = state else { return Ok(None) };
            while let Some(batch) = rows.try_next().await? {
                let _timer = measured.elapsed_compute().timer();
                whole.update(&batch)?;
                if whole.is_full()? {
                    let part = whole.end()?;
                    measured.record_output(1);
                    return Ok(Some((part, Some((whole, rows, measured.clone())))));
                }
            }
            measured.record_output(1);
            Ok(Some((whole.end()?, None)))
        })
    }

    fn update(&mut self, batch: &RecordBatch) -> Result<()> {
        self.aggregates.iter_mut().try_for_each(|aggregate| aggregate.update(batch))
    }

    /// Whether the part is to end, for its own size or for want of memory.
    fn is_full(&mut self) -> Result<bool> {
        let size = self.aggregates.iter().map(|aggregate| aggregate.accumulator.size()).sum();
        match self.reservation.try_resize(size) {
            Ok(()) => Ok(size > LARGEST),
            Err(_) if size > SMALLEST => Ok(true),
            Err(error) => Err(error),
        }
    }

    fn end(&mut self) -> Result<RecordBatch> {
        self.reservation.free();
        let columns = self.aggregates.iter_mut().map(Aggregate::end);
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns.collect::<Result<_>>()?)?)
    }
}
