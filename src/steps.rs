//! Runs the SQL files one by one: as a view, as rows kept for later stages, or as a table to publish.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::concat_batches;
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use datafusion::physical_plan::{ExecutionPlan, displayable, execute_stream};
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;

use crate::cluster;
use crate::error::{Error, Result};
use crate::group::Group;
use crate::kept::{Kept, collect, keep, keep_rows, runs_elsewhere};
use crate::rows::{Rows, all_nullable, with_schema};
use crate::sql::{self, Bound, Parameters, SqlFile};
use crate::tables::{self, Table};
use crate::text::without_middle;
use crate::withhold::without_small_groups;

/// Where a table's rows go: to the stage of a publication, or nowhere.
#[async_trait]
pub trait Sink: Send {
    /// Adds rows to a table, behind those before, and tells their number.
    async fn append(
        &mut self,
        context: &SessionContext,
        table: &Table,
        plan: Arc<dyn ExecutionPlan>,
    ) -> Result<u64>;

    /// Ends a table, and gives it back as a relation for the stages after it.
    async fn finish(&mut self, context: &SessionContext, table: &Table) -> Result<Arc<dyn TableProvider>>;
}

/// How far to go with each file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Run,
    /// Plan each file over empty relations; nothing is read but schemas.
    Explain,
    /// Run, and keep each plan with what its operators measured.
    Analyze,
}

/// A file as it was planned or run.
#[derive(Debug)]
pub struct Explained {
    pub file: &'static SqlFile,
    pub parameters: String,
    pub plan: String,
}

/// Told what is going on.
pub trait Progress: Send {
    fn began(&mut self, file: &SqlFile);
    fn ended(&mut self, file: &SqlFile, rows: Option<u64>, elapsed: Duration);
}

/// Says nothing.
#[derive(Debug)]
pub struct Silent;

impl Progress for Silent {
    fn began(&mut self, _file: &SqlFile) {}
    fn ended(&mut self, _file: &SqlFile, _rows: Option<u64>, _elapsed: Duration) {}
}

pub struct Steps<'a> {
    pub context: &'a SessionContext,
    pub parameters: Parameters,
    /// What leads the rows of grouped tables.
    pub group: Group,
    pub explained: Vec<Explained>,
    /// How many rows of each summary stand for too few customers to be published.
    pub withheld: BTreeMap<&'static str, u64>,
    /// How many customers a row of a summary must stand for.
    minimum_group_size: i64,
    mode: Mode,
    progress: &'a mut dyn Progress,
    sink: &'a mut dyn Sink,
    /// The memory of rows kept between stages, by relation.
    kept: BTreeMap<&'static str, MemoryReservation>,
    /// How long the files of each stage took.
    pub durations: BTreeMap<&'static str, Duration>,
    /// The tables that are finished.
    finished: BTreeMap<&'static str, Arc<dyn TableProvider>>,
}

impl fmt::Debug for Steps<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Steps")
            .field("mode", &self.mode)
            .field("parameters", &self.parameters)
            .finish_non_exhaustive()
    }
}

impl<'a> Steps<'a> {
    pub fn new(
        context: &'a SessionContext,
        mode: Mode,
        progress: &'a mut dyn Progress,
        sink: &'a mut dyn Sink,
    ) -> Self {
        Self {
            context,
            parameters: Parameters::default(),
            group: Group::default(),
            explained: Vec::new(),
            withheld: BTreeMap::new(),
            minimum_group_size: 1,
            mode,
            progress,
            sink,
            kept: BTreeMap::new(),
            durations: BTreeMap::new(),
            finished: BTreeMap::new(),
        }
    }

    /// Withholds the rows of summaries that stand for fewer customers.
    pub fn withhold_below(&mut self, minimum_group_size: i64) {
        self.minimum_group_size = minimum_group_size;
        self.parameters.set("minimum_group_size", minimum_group_size);
    }

    #[must_use]
    pub fn explains_only(&self) -> bool {
        self.mode == Mode::Explain
    }

    /// Registers a relation under a name, in place of any before it.
    ///
    /// # Errors
    /// When the catalog refuses it.
    pub fn register(&self, name: &str, relation: Arc<dyn TableProvider>) -> Result<()> {
        self.context.deregister_table(name)?;
        self.context.register_table(name, relation)?;
        Ok(())
    }

    /// Registers rows under a name.
    ///
    /// # Errors
    /// When they do not have their schema, or cannot be kept.
    pub async fn register_rows(&self, name: &str, rows: &Rows) -> Result<()> {
        self.register(name, keep_rows(self.context, rows).await?.relation)
    }

    /// Plans a file and registers it as a view under its own name.
    ///
    /// # Errors
    /// When it does not plan.
    pub async fn view(&mut self, name: &str) -> Result<()> {
        let file = sql::file(name)?;
        let bound = sql::bind(self.context, file, &self.parameters).await?;
        if self.mode == Mode::Explain {
            let plan = bound.frame.clone().create_physical_plan().await?;
            self.explain(file, &bound, &plan);
        }
        self.register(file.name, bound.frame.into_view())
    }

    /// Registers a file that several others read: as a view, or as kept rows where all executors of a cluster would make them anew for each
    /// reader.
    ///
    /// # Errors
    /// When it does not plan or run.
    pub async fn shared_view(&mut self, name: &str) -> Result<()> {
        if self.runs_elsewhere(name).await? { self.keep(name).await.map(drop) } else { self.view(name).await }
    }

    /// Whether the executors of a cluster run a file, and not this process.
    ///
    /// # Errors
    /// When it does not plan.
    pub async fn runs_elsewhere(&mut self, name: &str) -> Result<bool> {
        // planning takes its time
        Ok(cluster::of(self.context).is_some() && runs_elsewhere(&self.plan(name).await?.2))
    }

    /// Runs a file whose rows are few, registers them under its own name and gives them to be looked at.
    ///
    /// # Errors
    /// When it does not plan or run.
    pub async fn rows(&mut self, name: &str) -> Result<Rows> {
        let (file, bound, plan) = self.plan(name).await?;
        let started = self.begin(file);
        let schema = all_nullable(&plan.schema());
        let batches = if self.mode == Mode::Explain {
            Vec::new()
        } else {
            collect(self.context, &plan, &schema).await.map_err(|error| file.blame(error))?
        };
        let rows = Rows { schema, batches };
        let kept = keep_rows(self.context, &rows).await.map_err(|error| file.blame(error))?;
        self.register_kept(file, &kept)?;
        self.end(file, &bound, &plan, Some(kept.rows), started);
        Ok(rows)
    }

    /// Runs a file whose rows may be many, and registers them under its own name where the engine keeps them.
    ///
    /// # Errors
    /// When it does not plan or run.
    pub async fn keep(&mut self, name: &str) -> Result<Kept> {
        let (file, bound, plan) = self.plan(name).await?;
        let started = self.begin(file);
        let kept = if self.mode == Mode::Explain {
            let rows = Rows { schema: all_nullable(&plan.schema()), batches: Vec::new() };
            keep_rows(self.context, &rows).await
        } else {
            keep(self.context, &plan).await
        };
        let kept = kept.map_err(|error| file.blame(error))?;
        self.register_kept(file, &kept)?;
        self.end(file, &bound, &plan, Some(kept.rows), started);
        Ok(kept)
    }

    /// Counts kept rows against the memory limit, in place of those kept under the same name before, and registers them.
    fn register_kept(&mut self, file: &'static SqlFile, kept: &Kept) -> Result<()> {
        let pool = &self.context.runtime_env().memory_pool;
        let reservation = MemoryConsumer::new(format!("rows of {}", file.name)).register(pool);
        self.kept.remove(file.name);
        reservation.try_grow(kept.memory).map_err(|error| file.blame(error))?;
        self.kept.insert(file.name, reservation);
        self.register(file.name, Arc::clone(&kept.relation))
    }

    /// Runs a file whose relation is a published table, writes it and registers what was written under its own name.
    ///
    /// # Errors
    /// When it does not plan, run or write.
    pub async fn table(&mut self, name: &str) -> Result<u64> {
        let rows = self.append(name).await?;
        self.finish(name).await?;
        Ok(rows)
    }

    /// Runs a file whose relation is a published table and adds its rows to that, led by the group under way.
    ///
    /// # Errors
    /// When it does not plan, run or write.
    pub async fn append(&mut self, name: &str) -> Result<u64> {
        let table = self.published_table(name)?;
        let file = sql::file(name)?;
        let mut bound = sql::bind(self.context, file, &self.parameters).await?;
        if table.is_grouped() {
            bound.frame = self.group.lead(bound.frame)?;
        }
        let mut plan = bound.frame.clone().create_physical_plan().await.map_err(|error| file.blame(error))?;
        let started = self.begin(file);
        let withholds = self.minimum_group_size > 1 && !table.sizes.is_empty();
        if withholds && self.mode != Mode::Explain {
            plan = self.without_small_groups(&table, plan).await.map_err(|error| file.blame(error))?;
        }
        let rows = if self.mode == Mode::Explain {
            0
        } else {
            let appended = self.sink.append(self.context, &table, Arc::clone(&plan)).await;
            appended.map_err(|error| file.blame(error))?
        };
        self.end(file, &bound, &plan, Some(rows), started);
        Ok(rows)
    }

    /// The rows of a summary that stand for enough customers, as a plan of their own.
    async fn without_small_groups(
        &mut self,
        table: &Table,
        plan: Arc<dyn ExecutionPlan>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = plan.schema();
        let rows: Vec<RecordBatch> = execute_stream(plan, self.context.task_ctx())?.try_collect().await?;
        let all = concat_batches(&schema, &rows)?;
        let kept = without_small_groups(&all, table, self.minimum_group_size)?;
        let withheld = all.num_rows() - kept.num_rows();
        *self.withheld.entry(table.name).or_default() += withheld as u64;
        if withheld > 0 {
            tracing::warn!(
                table = table.name,
                rows = withheld,
                "withheld, since they stand for too few customers"
            );
        }
        Ok(self.context.read_batch(kept)?.create_physical_plan().await?)
    }

    /// Ends a published table and registers it under its own name.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn finish(&mut self, name: &str) -> Result<()> {
        let table = self.published_table(name)?;
        let relation = if self.mode == Mode::Explain {
            Arc::new(MemTable::try_new(table.schema(), vec![vec![]])?)
        } else {
            self.sink.finish(self.context, &table).await?
        };
        self.finished.insert(sql::file(name)?.name, Arc::clone(&relation));
        self.register(name, relation)
    }

    /// Makes a group the one under way, and of each finished table that has groups registers its rows alone.
    ///
    /// # Errors
    /// When the catalog refuses it.
    pub fn enter(&mut self, group: Group) -> Result<()> {
        self.group = group;
        for (name, relation) in &self.finished {
            if self.published_table(name)?.is_grouped() {
                let rows = self.group.rows_of(self.context.read_table(Arc::clone(relation))?)?;
                self.register(name, rows.into_view())?;
            }
        }
        Ok(())
    }

    fn published_table(&self, name: &str) -> Result<Table> {
        let table =
            tables::table(name).ok_or_else(|| Error::internal(format!("{name} is no published table")))?;
        Ok(table.led_by(&self.group.columns))
    }

    async fn plan(&mut self, name: &str) -> Result<(&'static SqlFile, Bound, Arc<dyn ExecutionPlan>)> {
        let file = sql::file(name)?;
        let bound = sql::bind(self.context, file, &self.parameters).await?;
        let plan = bound.frame.clone().create_physical_plan().await.map_err(|error| file.blame(error))?;
        Ok((file, bound, plan))
    }

    fn begin(&mut self, file: &SqlFile) -> Instant {
        self.progress.began(file);
        Instant::now()
    }

    fn end(
        &mut self,
        file: &'static SqlFile,
        bound: &Bound,
        plan: &Arc<dyn ExecutionPlan>,
        rows: Option<u64>,
        started: Instant,
    ) {
        self.progress.ended(file, rows, started.elapsed());
        *self.durations.entry(file.stage).or_default() += started.elapsed();
        tracing::info!(
            stage = file.stage,
            relation = file.name,
            rows,
            milliseconds = started.elapsed().as_millis() as u64
        );
        self.explain(file, bound, plan);
    }

    fn explain(&mut self, file: &'static SqlFile, bound: &Bound, plan: &Arc<dyn ExecutionPlan>) {
        let plan = match self.mode {
            Mode::Run => return,
            Mode::Explain => displayable(plan.as_ref()).indent(false).to_string(),
            Mode::Analyze => DisplayableExecutionPlan::with_metrics(plan.as_ref()).indent(false).to_string(),
        };
        // an operator may show a list of all items
        let plan = plan.lines().map(|line| without_middle(line, 1500, 1500) + "\n").collect();
        self.explained.push(Explained { file, parameters: bound.to_string(), plan });
    }
}

/// Counts rows and keeps them in memory: for `explain --analyze`, which publishes nothing.
#[derive(Debug, Default)]
pub struct Discard(BTreeMap<&'static str, Vec<RecordBatch>>);

#[async_trait]
impl Sink for Discard {
    async fn append(
        &mut self,
        context: &SessionContext,
        table: &Table,
        plan: Arc<dyn ExecutionPlan>,
    ) -> Result<u64> {
        let stream = execute_stream(plan, context.task_ctx())?;
        let batches: Vec<RecordBatch> = stream.try_collect().await?;
        let batches: Vec<RecordBatch> =
            batches.iter().map(|batch| with_schema(batch, &table.schema())).collect::<Result<_>>()?;
        let rows = batches.iter().map(|batch| batch.num_rows() as u64).sum();
        self.0.entry(table.name).or_default().extend(batches);
        Ok(rows)
    }

    async fn finish(&mut self, _context: &SessionContext, table: &Table) -> Result<Arc<dyn TableProvider>> {
        let batches = self.0.remove(table.name).unwrap_or_default();
        Ok(Arc::new(MemTable::try_new(table.schema(), vec![batches])?))
    }
}
