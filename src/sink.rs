//! Where the rows of published tables go: to the stage of a publication, or no further than this process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;

use crate::error::Result;
use crate::rows::with_schema;
use crate::tables::Table;

/// Where a table's rows go. Tables may be written side by side.
#[async_trait]
pub trait Sink: Send + Sync {
    /// Adds rows to a table, behind those before, and tells their number.
    async fn append(
        &self,
        context: &SessionContext,
        table: &Table,
        plan: Arc<dyn ExecutionPlan>,
    ) -> Result<u64>;

    /// Ends a table, and gives it back as a relation for the stages after it.
    async fn finish(&self, context: &SessionContext, table: &Table) -> Result<Arc<dyn TableProvider>>;
}

/// Runs nothing: for what is only planned.
#[derive(Debug)]
pub struct Nowhere;

#[async_trait]
impl Sink for Nowhere {
    async fn append(
        &self,
        _context: &SessionContext,
        _table: &Table,
        _plan: Arc<dyn ExecutionPlan>,
    ) -> Result<u64> {
        Ok(0)
    }

    async fn finish(&self, _context: &SessionContext, table: &Table) -> Result<Arc<dyn TableProvider>> {
        Ok(Arc::new(MemTable::try_new(table.schema(), vec![vec![]])?))
    }
}

/// Counts rows and keeps them in memory: for `explain --analyze`, which publishes nothing.
#[derive(Debug, Default)]
pub struct Discard(Mutex<BTreeMap<&'static str, Vec<RecordBatch>>>);

impl Discard {
    fn tables(&self) -> MutexGuard<'_, BTreeMap<&'static str, Vec<RecordBatch>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Sink for Discard {
    async fn append(
        &self,
        context: &SessionContext,
        table: &Table,
        plan: Arc<dyn ExecutionPlan>,
    ) -> Result<u64> {
        let stream = execute_stream(plan, context.task_ctx())?;
        let batches: Vec<RecordBatch> = stream.try_collect().await?;
        let batches: Vec<RecordBatch> =
            batches.iter().map(|batch| with_schema(batch, &table.schema())).collect::<Result<_>>()?;
        let rows = batches.iter().map(|batch| batch.num_rows() as u64).sum();
        self.tables().entry(table.name).or_default().extend(batches);
        Ok(rows)
    }

    async fn finish(&self, _context: &SessionContext, table: &Table) -> Result<Arc<dyn TableProvider>> {
        let batches = self.tables().remove(table.name).unwrap_or_default();
        Ok(Arc::new(MemTable::try_new(table.schema(), vec![batches])?))
    }
}
