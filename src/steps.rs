//! Runs the SQL files one by one: as a view, as rows kept for later stages, or as a table to publish.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::catalog::TableProvider;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryReservation};
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use datafusion::physical_plan::{ExecutionPlan, displayable};
use datafusion::prelude::SessionContext;
use futures::future::{join, join_all};

use crate::audit::Audits;
use crate::cluster;
use crate::error::Result;
use crate::group::Group;
use crate::kept::{Kept, collect, keep, keep_rows, runs_elsewhere};
use crate::rows::{Rows, all_nullable};
use crate::sink::{Nowhere, Sink};
use crate::sql::{self, Bound, Parameters, SqlFile};
use crate::table_writer::{Planned, PlannedRows, TableWriter, Written, published_table};
use crate::text::without_middle;

/// Of memory for each row of a batch of each partition, for tables side by side: a hundred operators that hold two batches of half a
/// kilobyte a row.
const MEMORY_A_ROW: usize = 128 << 10;

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
pub trait Progress: Send + Sync {
    fn began(&mut self, file: &SqlFile);
    fn ended(&mut self, file: &SqlFile, rows: u64, elapsed: Duration);
}

/// Says nothing.
#[derive(Debug)]
pub struct Silent;

impl Progress for Silent {
    fn began(&mut self, _file: &SqlFile) {}
    fn ended(&mut self, _file: &SqlFile, _rows: u64, _elapsed: Duration) {}
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
    sink: &'a dyn Sink,
    /// The memory of rows kept between stages, by relation.
    kept: BTreeMap<&'static str, MemoryReservation>,
    /// How long it took up to the end of each stage's files, from the end of the file before.
    pub durations: BTreeMap<&'static str, Duration>,
    /// What came since counts for the stage of the next file to end.
    latest_end: Instant,
    /// The tables that are finished.
    finished: BTreeMap<&'static str, Arc<dyn TableProvider>>,
    /// Those that begin once the tables that they read are finished; none where nothing is audited.
    pub audits: Option<Audits>,
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
        sink: &'a dyn Sink,
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
            sink: if mode == Mode::Explain { &Nowhere } else { sink },
            kept: BTreeMap::new(),
            durations: BTreeMap::new(),
            latest_end: Instant::now(),
            finished: BTreeMap::new(),
            audits: None,
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
        let decided = sql::decided(bound.frame).map_err(|error| file.blame(error))?;
        self.register(file.name, decided.into_view())
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
        Ok(cluster::of(self.context).is_some() && runs_elsewhere(&self.plan(name).await?.plan))
    }

    /// Runs a file whose rows are few, registers them under its own name and gives them to be looked at.
    ///
    /// # Errors
    /// When it does not plan or run.
    pub async fn rows(&mut self, name: &str) -> Result<Rows> {
        self.progress.began(sql::file(name)?);
        let planned = self.plan(name).await?;
        let file = planned.file;
        let schema = all_nullable(&planned.plan.schema());
        let batches = if self.mode == Mode::Explain {
            Vec::new()
        } else {
            collect(self.context, &planned.plan, &schema).await.map_err(|error| file.blame(error))?
        };
        let rows = Rows { schema, batches };
        let kept = keep_rows(self.context, &rows).await.map_err(|error| file.blame(error))?;
        self.register_kept(file, &kept)?;
        self.end(&planned, kept.rows, planned.begun.elapsed());
        Ok(rows)
    }

    /// Runs a file whose rows may be many, and registers them under its own name where the engine keeps them.
    ///
    /// # Errors
    /// When it does not plan or run.
    pub async fn keep(&mut self, name: &str) -> Result<Kept> {
        self.progress.began(sql::file(name)?);
        let planned = self.plan(name).await?;
        let kept = if self.mode == Mode::Explain {
            let rows = Rows { schema: all_nullable(&planned.plan.schema()), batches: Vec::new() };
            keep_rows(self.context, &rows).await
        } else {
            keep(self.context, &planned.plan).await
        };
        let kept = kept.map_err(|error| planned.file.blame(error))?;
        self.register_kept(planned.file, &kept)?;
        self.end(&planned, kept.rows, planned.begun.elapsed());
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
    pub async fn table(&mut self, name: &str) -> Result<()> {
        self.tables(&[name]).await
    }

    /// The same for files that do not read one another, side by side where memory is ample: what one does alone, such as merging what it
    /// sorted, leaves cores to the others.
    ///
    /// # Errors
    /// As for one.
    pub async fn tables(&mut self, names: &[&str]) -> Result<()> {
        for name in names {
            self.progress.began(sql::file(name)?);
        }
        let mut written = Vec::with_capacity(names.len());
        if self.has_ample_memory() {
            // all end before an error is told: nothing is written any more when what was is removed
            let writing = names.iter().map(|name| self.writer().write(name));
            written.extend(join_all(writing).await);
        } else {
            for name in names {
                written.push(Ok(self.writer().write(name).await?));
            }
        }
        for written in written.into_iter().collect::<Result<Vec<_>>>()? {
            self.end_table(written)?;
        }
        Ok(())
    }

    /// The same for one file while others go on, none of which reads it; after them where memory is short.
    ///
    /// # Errors
    /// Those of the others before its own.
    pub async fn table_beside<T>(
        &mut self,
        name: &str,
        others: impl AsyncFnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        if !self.has_ample_memory() {
            let done = others(self).await?;
            self.table(name).await?;
            return Ok(done);
        }
        self.progress.began(sql::file(name)?);
        let writing = self.writer().write(name);
        // both end before an error is told
        let (written, done) = join(writing, others(self)).await;
        let done = done?;
        self.end_table(written?)?;
        Ok(done)
    }

    fn end_table(&mut self, written: Written) -> Result<()> {
        let Written { rows, count, elapsed, relation } = written;
        self.register_finished(rows.planned.file.name, relation)?;
        self.end_rows(&rows, count, elapsed);
        Ok(())
    }

    /// Whether tables side by side would do without more memory than there is: all that sort or exchange have equal shares of it, whatever
    /// they need, and a share must hold its batches.
    fn has_ample_memory(&self) -> bool {
        // there it is the executors' memory, which their slots divide
        if cluster::of(self.context).is_some() {
            return true;
        }
        let config = self.context.copied_config();
        let needed = config.target_partitions() * config.batch_size() * MEMORY_A_ROW;
        let pool = &self.context.runtime_env().memory_pool;
        match pool.memory_limit() {
            MemoryLimit::Finite(limit) => needed <= limit && pool.reserved() <= limit / 8,
            _ => true,
        }
    }

    /// What writes tables as the parameters are now.
    fn writer(&self) -> TableWriter<'a> {
        TableWriter {
            context: self.context,
            sink: self.sink,
            parameters: self.parameters.clone(),
            group: self.group.clone(),
            minimum_group_size: if self.mode == Mode::Explain { 1 } else { self.minimum_group_size },
        }
    }

    /// Runs a file whose relation is a published table and adds its rows to that, led by the group under way.
    ///
    /// # Errors
    /// When it does not plan, run or write.
    pub async fn append(&mut self, name: &str) -> Result<u64> {
        self.progress.began(sql::file(name)?);
        let writer = self.writer();
        let rows = writer.plan(name).await?;
        let count = writer.append(&rows).await?;
        self.end_rows(&rows, count, rows.planned.begun.elapsed());
        Ok(count)
    }

    /// Ends a published table and registers it under its own name.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn finish(&mut self, name: &str) -> Result<()> {
        let table = published_table(name, &self.group)?;
        let relation = self.sink.finish(self.context, &table).await?;
        self.register_finished(sql::file(name)?.name, relation)
    }

    fn register_finished(&mut self, name: &'static str, relation: Arc<dyn TableProvider>) -> Result<()> {
        self.finished.insert(name, Arc::clone(&relation));
        self.register(name, relation)?;
        // otherwise they wait until all else is done, as they do on a cluster, where executors that are lost are told to one job
        let may_begin = self.has_ample_memory() && cluster::of(self.context).is_none();
        if let Some(audits) = self.audits.as_mut().filter(|_| may_begin) {
            audits.begin(self.context, &self.parameters);
        }
        Ok(())
    }

    /// Makes a group the one under way, and of each finished table that has groups registers its rows alone.
    ///
    /// # Errors
    /// When the catalog refuses it.
    pub fn enter(&mut self, group: Group) -> Result<()> {
        self.group = group;
        for (name, relation) in &self.finished {
            if published_table(name, &self.group)?.is_grouped() {
                let rows = self.group.rows_of(self.context.read_table(Arc::clone(relation))?)?;
                self.register(name, rows.into_view())?;
            }
        }
        Ok(())
    }

    async fn plan(&self, name: &str) -> Result<Planned> {
        let file = sql::file(name)?;
        Planned::try_new(file, sql::bind(self.context, file, &self.parameters).await?).await
    }

    fn end_rows(&mut self, rows: &PlannedRows, count: u64, elapsed: Duration) {
        if let Some(withheld) = rows.withheld {
            let table = rows.table.name;
            *self.withheld.entry(table).or_default() += withheld;
            if withheld > 0 {
                tracing::warn!(table, rows = withheld, "withheld, since they stand for too few customers");
            }
        }
        self.end(&rows.planned, count, elapsed);
    }

    fn end(&mut self, planned: &Planned, rows: u64, elapsed: Duration) {
        let Planned { file, bound, plan, .. } = planned;
        self.progress.ended(file, rows, elapsed);
        // with what came between, and files that ran side by side counted once
        *self.durations.entry(file.stage).or_default() += self.latest_end.elapsed();
        self.latest_end = Instant::now();
        tracing::info!(
            stage = file.stage,
            relation = file.name,
            rows,
            milliseconds = elapsed.as_millis() as u64
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_session::session;

    #[test]
    fn memory_is_ample_where_it_is_large_for_the_partitions_and_mostly_free() {
        let is_ample = |memory_limit: &str, taken: usize| {
            let (context, mut silent) = (session(memory_limit, 4), Silent);
            let kept = MemoryConsumer::new("rows").register(&context.runtime_env().memory_pool);
            kept.grow(taken);
            Steps::new(&context, Mode::Explain, &mut silent, &Nowhere).has_ample_memory()
        };
        assert!(is_ample("4GiB", 0) && is_ample("4GiB", 512 << 20));
        assert!(!is_ample("4GiB", (512 << 20) + 1));
        assert!(!is_ample("4095MiB", 0));
    }
}
