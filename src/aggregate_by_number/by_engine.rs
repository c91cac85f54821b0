//! What becomes of groups that do not fit into memory: they and the rest of the rows go on, as states, to the engine's own aggregation,
//! which spills.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::{ExecutionPlan, Partitioning, SendableRecordBatchStream};
use futures::{Stream, StreamExt, stream};

use crate::grouped_aggregate::{GroupedAggregate, values_of};

/// The exchange of the rest of the rows.
pub(super) fn exchanged(
    rows: Vec<SendableRecordBatchStream>,
    schema: SchemaRef,
    partitioning: Partitioning,
) -> Result<RepartitionExec> {
    RepartitionExec::try_new(read_once(rows, schema)?, partitioning)
}

/// An aggregation that merges the groups of a partition so far, as states, with the rest of its rows.
pub(super) fn merged<S>(
    aggregation: &AggregateExec,
    groups: impl FnOnce(SchemaRef) -> S,
    rows: SendableRecordBatchStream,
) -> Result<AggregateExec>
where
    S: Stream<Item = Result<RecordBatch>> + Send + 'static,
{
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
    let states = groups(Arc::clone(&schema)).chain(rest);
    let states = RecordBatchStreamAdapter::new(Arc::clone(&schema), states);
    AggregateExec::try_new(
        AggregateMode::Final,
        first.group_expr().as_final(),
        first.aggr_expr().to_vec(),
        vec![None; first.aggr_expr().len()],
        read_once(vec![Box::pin(states)], schema)?,
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

/// Streams as what a plan reads, once.
fn read_once(streams: Vec<SendableRecordBatchStream>, schema: SchemaRef) -> Result<Arc<dyn ExecutionPlan>> {
    let partitions = streams.into_iter().map(|batches| {
        let once = Once { schema: Arc::clone(&schema), batches: Mutex::new(Some(batches)) };
        Arc::new(once) as Arc<dyn PartitionStream>
    });
    let partitions = partitions.collect();
    Ok(Arc::new(StreamingTableExec::try_new(schema, partitions, None, [], false, None)?))
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
