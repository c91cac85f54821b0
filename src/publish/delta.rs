//! Published tables as Delta Lake tables, where `output.format` asks for that: a transaction a table, which replaces its run date.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::object_store::ObjectStore;
use datafusion::object_store::prefix::PrefixStore;
use deltalake_core::errors::DeltaTableError;
use deltalake_core::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake_core::kernel::transaction::{CommitBuilder, CommitProperties, TransactionError};
use deltalake_core::kernel::{Action, Add, MetadataExt, StructType, Transaction};
use deltalake_core::logstore::{LogStoreRef, StorageConfig, default_logstore};
use deltalake_core::operations::create::CreateBuilder;
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use deltalake_core::table::state::DeltaTableState;
use futures::TryStreamExt;

use super::manifest::{Commit, Part};
use super::place::Place;
use crate::error::{Error, ErrorKind, Result};
use crate::tables::{TABLES, Table};

/// The partition column that run dates stand in.
const RUN_DATE: &str = "run_date";

/// Runs of other dates commit to the same tables; each that comes first is a reason to try again.
const ATTEMPTS: usize = 50;

/// A table's log, and what is to stand in it of a run date.
struct Replacement<'a> {
    log: LogStoreRef,
    /// Every column nullable, so that a later version may leave one out.
    schema: Schema,
    run_date: String,
    /// The generation to stand, and the newest that is committed; Delta counts a transaction's versions in 64 bits with a sign.
    generation: i64,
    latest: i64,
    parts: &'a [Part],
}

impl Place {
    /// Makes the Delta tables say what a promoted commit says. A generation that a table's log has seen is not committed to it again, so
    /// that a promotion that was cut short can be finished.
    ///
    /// # Errors
    /// When a log cannot be read or written, or a table there has another type for a column of ours.
    pub(super) async fn commit_to_delta(&self, commit: &Commit) -> Result<()> {
        let latest = self.generations().await?.last().copied().unwrap_or_default();
        for table in TABLES {
            self.replacement(table, commit, latest).commit().await.map_err(|error| {
                Error::new(ErrorKind::External, "a Delta table's log cannot be written")
                    .with("table", table.name)
                    .caused_by(error)
            })?;
        }
        Ok(())
    }

    /// Finds, before a commit is made, what no promotion of it could write.
    ///
    /// # Errors
    /// When a table there has another type for a column of ours, or a log cannot be read.
    pub(super) async fn check_delta_types(&self, commit: &Commit) -> Result<()> {
        for table in TABLES.iter().filter(|table| commit.tables.contains_key(table.name)) {
            self.replacement(table, commit, commit.generation).check_types().await.map_err(|error| {
                Error::new(ErrorKind::Schema, "a Delta table has other columns, or its log cannot be read")
                    .with("table", table.name)
                    .with("key", "output.format")
                    .caused_by(error)
            })?;
        }
        Ok(())
    }

    fn replacement<'a>(&self, table: &Table, commit: &'a Commit, latest: u64) -> Replacement<'a> {
        let objects = commit.tables.get(table.name);
        let schema = table.led_by(objects.map_or(&[], |objects| &objects.groups));
        Replacement {
            log: self.delta_log(table),
            schema: delta_schema(&schema),
            run_date: self.run_date.to_string(),
            generation: version(commit.generation),
            latest: version(latest),
            parts: objects.map_or(&[], |objects| &objects.parts),
        }
    }

    /// Whether Delta tables stand here: what plain Parquet replaced would be missing from their logs.
    ///
    /// # Errors
    /// When the store cannot be listed.
    pub async fn has_delta_tables(&self) -> Result<bool> {
        let log = self.path_of("run_summary/_delta_log");
        Ok(self.store.list(Some(&log)).try_next().await?.is_some())
    }

    fn delta_log(&self, table: &Table) -> LogStoreRef {
        let path = self.path_of(table.name);
        let mut url = self.location.object_url(&path);
        url.set_path(&format!("/{}/", url.path().trim_matches('/')));
        let prefixed: Arc<dyn ObjectStore> = Arc::new(PrefixStore::new(Arc::clone(&self.store), path));
        default_logstore(prefixed, Arc::clone(&self.store), &url, &StorageConfig::default())
    }
}

fn delta_schema(table: &Table) -> Schema {
    let schema = table.schema();
    let nullable = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    let run_date = Field::new(RUN_DATE, DataType::Date32, true);
    Schema::new(nullable.chain([run_date]).collect::<Vec<_>>())
}

impl Replacement<'_> {
    async fn commit(&self) -> Result<(), DeltaTableError> {
        let mut last = None;
        for _ in 0..ATTEMPTS {
            let attempted = if self.log.is_delta_table_location().await? {
                self.replace().await
            } else if self.parts.is_empty() {
                return Ok(());
            } else {
                self.create().await
            };
            match attempted {
                Ok(()) => return Ok(()),
                Err(error) if is_conflict(&error) => {
                    tracing::debug!(%error, "another run came first");
                    last = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or_else(|| DeltaTableError::generic("never tried")))
    }

    /// The first version: the table with its first files.
    async fn create(&self) -> Result<(), DeltaTableError> {
        let columns: StructType = (&self.schema).try_into_kernel()?;
        CreateBuilder::new()
            .with_log_store(Arc::clone(&self.log))
            .with_save_mode(SaveMode::ErrorIfExists)
            .with_columns(columns.fields().cloned())
            .with_partition_columns([RUN_DATE])
            .with_actions(self.parts.iter().map(|part| self.add(part)))
            .with_commit_properties(self.properties())
            .await
            .map(drop)
    }

    /// A version in which the files of the run date are these.
    async fn replace(&self) -> Result<(), DeltaTableError> {
        let state = DeltaTableState::try_new(self.log.as_ref(), None).await?;
        let snapshot = state.snapshot();
        let seen = snapshot.transaction_version(self.log.as_ref(), self.application()).await?;
        if let Some(seen) = seen.filter(|seen| *seen >= self.generation) {
            if seen > self.latest {
                return Err(DeltaTableError::generic(format!(
                    "it has seen generation {seen} of {}, and the newest commit is {}; were commits removed from _runs?",
                    self.run_date, self.latest
                )));
            }
            return Ok(());
        }
        let wanted: BTreeSet<String> = self.parts.iter().map(path_in_table).collect();
        let mut standing = BTreeSet::new();
        let mut actions = Vec::new();
        let mut files = snapshot.file_views(self.log.as_ref(), None);
        while let Some(file) = files.try_next().await? {
            if file.partition_values_map().get(RUN_DATE) != Some(&Some(self.run_date.clone())) {
                continue;
            }
            let path = file.path().into_owned();
            if !wanted.contains(&path) {
                actions.push(Action::Remove(file.remove_action(true)));
            }
            standing.insert(path);
        }
        let new = self.parts.iter().filter(|part| !standing.contains(&path_in_table(part)));
        actions.extend(new.map(|part| self.add(part)));
        self.refuse_other_types(&state)?;
        let columns: StructType = (&self.schema).try_into_kernel()?;
        let have = state.schema();
        let added: Vec<_> =
            columns.fields().filter(|column| have.field(column.name()).is_none()).cloned().collect();
        if !added.is_empty() {
            let all = StructType::try_new(have.fields().cloned().chain(added))?;
            actions.insert(0, Action::Metadata(state.metadata().clone().with_schema(&all)?));
        }
        let operation = DeltaOperation::Write {
            mode: SaveMode::Overwrite,
            partition_by: Some(vec![RUN_DATE.to_owned()]),
            predicate: Some(format!("{RUN_DATE} = '{}'", self.run_date)),
        };
        CommitBuilder::from(self.properties())
            .with_actions(actions)
            .build(Some(snapshot), Arc::clone(&self.log), operation)
            .await
            .map(drop)
    }

    async fn check_types(&self) -> Result<(), DeltaTableError> {
        if !self.log.is_delta_table_location().await? {
            return Ok(());
        }
        self.refuse_other_types(&DeltaTableState::try_new(self.log.as_ref(), None).await?)
    }

    fn refuse_other_types(&self, state: &DeltaTableState) -> Result<(), DeltaTableError> {
        let columns: StructType = (&self.schema).try_into_kernel()?;
        let have = state.schema();
        for column in columns.fields() {
            let other = have.field(column.name()).filter(|have| have.data_type() != column.data_type());
            if let Some(other) = other {
                return Err(DeltaTableError::generic(format!(
                    "the column {} is {} there and {} now",
                    column.name(),
                    other.data_type(),
                    column.data_type()
                )));
            }
        }
        Ok(())
    }

    fn add(&self, part: &Part) -> Action {
        Action::Add(Add {
            path: path_in_table(part),
            partition_values: HashMap::from([(RUN_DATE.to_owned(), Some(self.run_date.clone()))]),
            size: i64::try_from(part.bytes).unwrap_or(i64::MAX),
            modification_time: chrono::Utc::now().timestamp_millis(),
            data_change: true,
            stats: Some(format!("{{\"numRecords\":{}}}", part.rows)),
            ..Add::default()
        })
    }

    /// No retries of the library's own: what is to be removed must be read anew each time.
    fn properties(&self) -> CommitProperties {
        let transaction = Transaction::new(self.application(), self.generation);
        CommitProperties::default().with_max_retries(0).with_application_transaction(transaction)
    }

    /// What the log remembers the last generation of a run date by.
    fn application(&self) -> String {
        format!("regulars/{RUN_DATE}={}", self.run_date)
    }
}

fn version(generation: u64) -> i64 {
    i64::try_from(generation).unwrap_or(i64::MAX)
}

/// A part's path below its table.
fn path_in_table(part: &Part) -> String {
    part.published.split_once('/').map_or(part.published.as_str(), |(_, below)| below).to_owned()
}

/// Whether another writer came first.
fn is_conflict(error: &DeltaTableError) -> bool {
    match error {
        DeltaTableError::VersionAlreadyExists(_)
        | DeltaTableError::Transaction {
            source: TransactionError::CommitConflict(_) | TransactionError::MaxCommitAttempts(_),
        } => true,
        other => other.to_string().contains("already exists"),
    }
}
