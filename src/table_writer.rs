//! Writes published tables, each from its SQL file: planned, rid of rows for too few customers, handed to the sink.

use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::concat_batches;
use datafusion::catalog::TableProvider;
use datafusion::common::runtime::SpawnedTask;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;
use tracing::Instrument;

use crate::error::{Error, Result};
use crate::group::Group;
use crate::sink::Sink;
use crate::sql::{self, Bound, Parameters, SqlFile};
use crate::tables::{self, Table};
use crate::withhold::without_small_groups;

/// A file about to be run.
pub(crate) struct Planned {
    pub file: &'static SqlFile,
    pub bound: Bound,
    pub plan: Arc<dyn ExecutionPlan>,
    pub begun: Instant,
}

impl Planned {
    pub async fn try_new(file: &'static SqlFile, bound: Bound) -> Result<Self> {
        let plan = bound.frame.clone().create_physical_plan().await.map_err(|error| file.blame(error))?;
        Ok(Self { file, bound, plan, begun: Instant::now() })
    }
}

/// Rows of a published table about to be written.
pub(crate) struct PlannedRows {
    pub table: Table,
    pub planned: Planned,
    /// How many of them stand for too few customers, and are none any more; none where nobody looked.
    pub withheld: Option<u64>,
}

/// A published table that is finished.
pub(crate) struct Written {
    pub rows: PlannedRows,
    pub count: u64,
    pub elapsed: Duration,
    pub relation: Arc<dyn TableProvider>,
}

/// The published table of a name, as a group leads it.
///
/// # Errors
/// When there is none, which is a mistake of ours.
pub(crate) fn published_table(name: &str, group: &Group) -> Result<Table> {
    let table =
        tables::table(name).ok_or_else(|| Error::internal(format!("{name} is no published table")))?;
    Ok(table.led_by(&group.columns))
}

/// What it takes to write a table, by itself: others may go on meanwhile.
pub(crate) struct TableWriter<'a> {
    pub context: &'a SessionContext,
    pub sink: &'a dyn Sink,
    pub parameters: Parameters,
    /// What leads the rows of grouped tables.
    pub group: Group,
    /// How many customers a row of a summary must stand for.
    pub minimum_group_size: i64,
}

impl TableWriter<'_> {
    /// Writes a whole table.
    pub async fn write(self, name: &str) -> Result<Written> {
        let rows = self.plan(name).await?;
        let count = self.append(&rows).await?;
        let relation = self.sink.finish(self.context, &rows.table).await?;
        Ok(Written { elapsed: rows.planned.begun.elapsed(), rows, count, relation })
    }

    /// Adds rows to their table.
    pub async fn append(&self, rows: &PlannedRows) -> Result<u64> {
        let appended = self.sink.append(self.context, &rows.table, Arc::clone(&rows.planned.plan)).await;
        appended.map_err(|error| rows.planned.file.blame(error))
    }

    pub async fn plan(&self, name: &str) -> Result<PlannedRows> {
        let table = published_table(name, &self.group)?;
        let file = sql::file(name)?;
        let (context, parameters) = (self.context.clone(), self.parameters.clone());
        let group = table.is_grouped().then(|| self.group.clone());
        // in a task of its own: tables that are written side by side are planned side by side
        let planning = async move {
            let mut bound = sql::bind(&context, file, &parameters).await?;
            if let Some(group) = group {
                bound.frame = group.lead(bound.frame)?;
            }
            Planned::try_new(file, bound).await
        };
        let planned = SpawnedTask::spawn(planning.in_current_span()).await;
        let planned = planned.map_err(|error| Error::internal("planning broke off").caused_by(error))?;
        let mut rows = PlannedRows { table, planned: planned?, withheld: None };
        if self.minimum_group_size > 1 && !rows.table.sizes.is_empty() {
            self.withhold(&mut rows).await.map_err(|error| file.blame(error))?;
        }
        Ok(rows)
    }

    /// Leaves the rows of a summary that stand for enough customers, as a plan of their own.
    async fn withhold(&self, rows: &mut PlannedRows) -> Result<()> {
        let plan = &mut rows.planned.plan;
        let schema = plan.schema();
        let batches = execute_stream(Arc::clone(plan), self.context.task_ctx())?;
        let batches: Vec<RecordBatch> = batches.try_collect().await?;
        let all = concat_batches(&schema, &batches)?;
        let kept = without_small_groups(&all, &rows.table, self.minimum_group_size)?;
        rows.withheld = Some((all.num_rows() - kept.num_rows()) as u64);
        *plan = self.context.read_batch(kept)?.create_physical_plan().await?;
        Ok(())
    }
}
