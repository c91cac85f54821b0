//! Relations that stand between stages: in memory, or on a cluster in Parquet under the run's attempt.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use datafusion::physical_plan::{ExecutionPlan, execute_stream_partitioned};
use datafusion::prelude::SessionContext;
use futures::{StreamExt, TryStreamExt};
use tokio::task::JoinSet;

use crate::cluster::write::{Kind, Object, Target, WriteExec, told};
use crate::cluster::{self, Cluster, OnCluster};
use crate::error::{Error, Result};
use crate::rows::{Rows, all_nullable, with_schema};
use crate::source::WrittenFile;

/// Larger relations do not travel within plans: each task is handed its own copy.
const LARGEST_IN_PLAN: usize = 1 << 20;

/// Rows that stand as a relation.
#[derive(Debug, Clone)]
pub struct Kept {
    pub relation: Arc<dyn TableProvider>,
    pub rows: u64,
    /// Bytes of this process's memory that they take.
    pub memory: usize,
}

/// Whether a plan runs in other processes, each time that it is read.
#[must_use]
pub fn runs_elsewhere(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.is::<OnCluster>()
}

/// Runs a plan and keeps its rows where later stages find them.
///
/// # Errors
/// When it does not run, or what it gives cannot be written.
pub async fn keep(context: &SessionContext, plan: &Arc<dyn ExecutionPlan>) -> Result<Kept> {
    let schema = all_nullable(&plan.schema());
    let Some(remote) = plan.downcast_ref::<OnCluster>() else {
        let batches = collect(context, plan, &schema).await?;
        return keep_rows(context, &Rows { schema, batches }).await;
    };
    in_files(remote.cluster(), schema, &write_between(context, remote, Kind::Kept).await?)
}

/// Has the executors write a plan's rows where they stand between stages, without bringing them together.
///
/// # Errors
/// When the job fails.
pub async fn write_between(
    context: &SessionContext,
    remote: &OnCluster,
    kind: Kind,
) -> Result<Vec<WrittenFile>> {
    let folder = remote.cluster().scratch.folder().to_string();
    let objects = write(context, remote, remote.side_by_side()?, Target { folder, kind }).await?;
    let files = objects.into_iter();
    Ok(files
        .map(|object| WrittenFile { path: object.path, bytes: object.bytes, rows: object.rows })
        .collect())
}

/// Has the executors write a plan's rows side by side, and tells the objects.
///
/// # Errors
/// When the job fails.
pub async fn write(
    context: &SessionContext,
    remote: &OnCluster,
    rows: Arc<dyn ExecutionPlan>,
    target: Target,
) -> Result<Vec<Object>> {
    let sink = WriteExec::try_new(rows, target)?;
    let written: Arc<dyn ExecutionPlan> = Arc::new(remote.instead(Arc::new(sink)));
    let schema = written.schema();
    Ok(told(&collect(context, &written, &schema).await?))
}

/// Keeps rows that are in memory.
///
/// # Errors
/// When they do not have their schema, or cannot be written.
pub async fn keep_rows(context: &SessionContext, rows: &Rows) -> Result<Kept> {
    let size = rows.size()?;
    let count = rows.count() as u64;
    if let Some(cluster) = cluster::of(context)
        && size > LARGEST_IN_PLAN
    {
        let file = cluster.scratch.write(&rows.schema, &rows.batches).await?;
        return in_files(&cluster, Arc::clone(&rows.schema), &[file]);
    }
    // spread over the partitions, so that what reads them works side by side
    let partitions = context.copied_config().target_partitions().max(1);
    let mut spread = vec![Vec::new(); partitions];
    for (index, batch) in rows.batches.iter().enumerate() {
        spread[index % partitions].push(batch.clone());
    }
    let relation = Arc::new(MemTable::try_new(Arc::clone(&rows.schema), spread)?);
    Ok(Kept { relation, rows: count, memory: size })
}

fn in_files(cluster: &Cluster, schema: SchemaRef, files: &[WrittenFile]) -> Result<Kept> {
    let rows = files.iter().map(|file| file.rows).sum();
    let relation: Arc<dyn TableProvider> = if rows == 0 {
        Arc::new(MemTable::try_new(schema, vec![vec![]])?)
    } else {
        Arc::new(cluster.scratch.relation(schema, files)?)
    };
    Ok(Kept { relation, rows, memory: 0 })
}

/// All rows with a schema, the partitions' side by side.
///
/// # Errors
/// When the plan does not run.
pub async fn collect(
    context: &SessionContext,
    plan: &Arc<dyn ExecutionPlan>,
    schema: &SchemaRef,
) -> Result<Vec<RecordBatch>> {
    let mut partitions = JoinSet::new();
    for (number, stream) in
        execute_stream_partitioned(Arc::clone(plan), context.task_ctx())?.into_iter().enumerate()
    {
        let schema = Arc::clone(schema);
        partitions.spawn(async move {
            let batches = stream.map(|batch| with_schema(&batch?, &schema));
            (number, batches.try_collect::<Vec<RecordBatch>>().await)
        });
    }
    let mut collected = BTreeMap::new();
    while let Some(done) = partitions.join_next().await {
        let (number, batches) =
            done.map_err(|error| Error::internal("a partition failed").caused_by(error))?;
        collected.insert(number, batches?);
    }
    Ok(collected.into_values().flatten().collect())
}
