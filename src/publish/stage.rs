//! The stage: tables written as Parquet where no reader looks, with the same bytes for the same rows.

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use datafusion::arrow::array::{AsArray, BooleanArray, RecordBatch, UInt64Array};
use datafusion::arrow::compute::{
    SortColumn, concat_batches, filter_record_batch, lexsort_to_indices, take_record_batch,
};
use datafusion::catalog::TableProvider;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::object_store::ObjectStoreExt;
use datafusion::object_store::path::Path;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use datafusion::physical_plan::common::spawn_buffered;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::SessionContext;
use futures::{StreamExt, TryStreamExt};

use super::manifest::{Part, TableObjects};
use super::part_writer::{Compressed, PartWriter, Written};
use super::place::{Place, delete};
use super::spread;
use crate::cluster::write::{Kind, Object};
use crate::cluster::{self, OnCluster};
use crate::error::{Error, Result};
use crate::kept;
use crate::rows::with_schema;
use crate::sink::Sink;
use crate::source::WrittenFile;
use crate::tables::{Table, part_name};
use crate::udf::part_number::part_numbers;

/// Of a table, computed while those before them are written.
const BATCHES_AHEAD: usize = 2;

/// Writes a run's tables under its attempt.
#[derive(Debug)]
pub struct Stage {
    place: Place,
    attempt: String,
    rows_per_part: usize,
    as_delta: bool,
    written: Mutex<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    /// Those that are being written.
    open: BTreeMap<&'static str, PartWriter>,
    /// What executors wrote of them: for each time that rows were added, files that are each in the table's order.
    spread: BTreeMap<&'static str, Vec<Vec<WrittenFile>>>,
    finished: BTreeMap<String, TableObjects>,
}

impl Stage {
    #[must_use]
    pub fn new(place: Place, attempt: String, rows_per_part: usize, as_delta: bool) -> Self {
        Self { place, attempt, rows_per_part, as_delta, written: Mutex::default() }
    }

    /// The tables that are finished.
    #[must_use]
    pub fn into_tables(self) -> BTreeMap<String, TableObjects> {
        self.written.into_inner().unwrap_or_else(PoisonError::into_inner).finished
    }

    fn written(&self) -> MutexGuard<'_, Tables> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins one object.
    fn open_part(&self, table: &Table, number: usize) -> PartWriter {
        let staged = self.place.staged(&self.attempt, table.name, number);
        PartWriter::open(&self.place.store, staged, table.schema(), Compressed::Well)
    }

    /// What writes a table's rows: begun, or continued.
    fn take_writer(&self, table: &Table) -> PartWriter {
        let open = self.written().open.remove(table.name);
        open.unwrap_or_else(|| self.open_part(table, 0))
    }

    /// A part's name among the published ones. A Delta table's files are never replaced, so that readers of its older versions find theirs.
    fn published_name(&self, number: usize) -> String {
        if self.as_delta { format!("part-{number:05}-{}.parquet", self.attempt) } else { part_name(number) }
    }

    fn part(&self, table: &Table, number: usize, staged: &Path, written: &Written) -> Part {
        Part {
            staged: self.place.relative(staged),
            published: format!(
                "{}/run_date={}/{}",
                table.name,
                self.place.run_date,
                self.published_name(number)
            ),
            bytes: written.bytes,
            rows: written.rows,
            sha256: written.sha256.clone(),
            e_tag: None,
        }
    }

    /// The staged parts as a relation.
    fn relation(
        &self,
        context: &SessionContext,
        table: &Table,
        parts: &[Part],
    ) -> Result<Arc<dyn TableProvider>> {
        let urls = parts.iter().map(|part| self.place.url_of(&part.staged)).collect::<Result<Vec<_>>>()?;
        self.place.register(context);
        relation(urls, table)
    }

    /// A summary with the rows of an earlier one that are to be carried over, where it has none of the kind; none where there are none.
    ///
    /// # Errors
    /// When a summary cannot be read or written.
    pub async fn merge_counts(
        &self,
        before: &TableObjects,
        own: &TableObjects,
        is_carried: impl Fn(&str, &str) -> bool,
        generation: u64,
    ) -> Result<Option<TableObjects>> {
        let Some(table) = crate::tables::table("run_summary") else { return Ok(None) };
        let (before, own) = (self.read(before, table).await?, self.read(own, table).await?);
        let counted: HashSet<(&str, &str)> = keys(&own).collect();
        let carried: BooleanArray =
            keys(&before).map(|key| Some(is_carried(key.0, key.1) && !counted.contains(&key))).collect();
        if carried.true_count() == 0 {
            return Ok(None);
        }
        let all = concat_batches(&table.schema(), [&own, &filter_record_batch(&before, &carried)?])?;
        let by = |column: usize| SortColumn { values: Arc::clone(all.column(column)), options: None };
        let all = take_record_batch(&all, &lexsort_to_indices(&[by(0), by(1)], None)?)?;

        // beside the run's own summary, whose name is taken
        let mut writer = self.open_part(table, usize::try_from(generation).unwrap_or(usize::MAX));
        writer.write(&all).await?;
        let (path, written) = ended(writer).await?;
        let part = self.part(table, 0, &path, &written);
        Ok(Some(TableObjects { rows: written.rows, groups: Vec::new(), parts: vec![part] }))
    }

    /// The rows of a small staged table.
    async fn read(&self, objects: &TableObjects, table: &Table) -> Result<RecordBatch> {
        let mut batches = Vec::new();
        for part in &objects.parts {
            let bytes = self.place.store.get(&self.place.path_of(&part.staged)).await?.bytes().await?;
            for batch in ParquetRecordBatchReaderBuilder::try_new(bytes)?.build()? {
                batches.push(with_schema(&batch?, &table.schema())?);
            }
        }
        Ok(concat_batches(&table.schema(), &batches)?)
    }

    /// Makes the parts of a table of what executors wrote of it.
    async fn gather(
        &self,
        context: &SessionContext,
        table: &Table,
        spread: &[Vec<WrittenFile>],
    ) -> Result<Vec<Part>> {
        let Some(cluster) = cluster::of(context) else { return Err(Error::internal("there is no cluster")) };
        let scratch = &cluster.scratch;
        let rows: u64 = spread.iter().flatten().map(|file| file.rows).sum();
        if rows <= self.rows_per_part as u64 {
            let mut writer = self.open_part(table, 0);
            for files in spread.iter().filter(|files| !files.is_empty()) {
                let mut lines = spread::merged(context, scratch, table, files).await?;
                while let Some(batch) = lines.next().await {
                    writer.write(&with_schema(&batch?, &table.schema())?).await?;
                }
            }
            let (staged, written) = ended(writer).await?;
            return Ok(vec![self.part(table, 0, &staged, &written)]);
        }
        let number_of_parts = self.number_of_parts(rows);
        let folder = self.place.staged_folder_url(&self.attempt, table.name).to_string();
        let files: Vec<WrittenFile> = spread.iter().flatten().cloned().collect();
        let objects = spread::split(context, scratch, table, &files, number_of_parts, folder).await?;
        let mut parts = Vec::with_capacity(number_of_parts);
        for number in 0..number_of_parts {
            let told = objects.iter().find(|object| object.part == number as i64);
            let (path, written) = if let Some(object) = told {
                let Object { path, rows, bytes, sha256, .. } = object.clone();
                (path, Written { rows, bytes, sha256 })
            } else {
                // no row lies in it
                ended(self.open_part(table, number)).await?
            };
            parts.push(self.part(table, number, &path, &written));
        }
        Ok(parts)
    }

    fn number_of_parts(&self, rows: u64) -> usize {
        usize::try_from(rows.div_ceil(self.rows_per_part as u64)).unwrap_or(usize::MAX)
    }

    /// Notes a table's parts, and gives them as a relation.
    fn note(
        &self,
        context: &SessionContext,
        table: &Table,
        parts: Vec<Part>,
    ) -> Result<Arc<dyn TableProvider>> {
        let relation = self.relation(context, table, &parts)?;
        let rows = parts.iter().map(|part| part.rows).sum();
        let groups = table.groups.clone();
        self.written().finished.insert(table.name.to_owned(), TableObjects { rows, groups, parts });
        Ok(relation)
    }

    /// Splits a table that has grown too large for one part: by a hash of the key, into a number of parts that depends on
    /// its rows alone, each in the table's order.
    async fn split(
        &self,
        context: &SessionContext,
        table: &Table,
        whole: &Path,
        rows: u64,
    ) -> Result<Vec<Part>> {
        let parts = self.number_of_parts(rows);
        let mut writers = Vec::with_capacity(parts);
        for number in 0..parts {
            writers.push(self.open_part(table, number + 1));
        }
        self.place.register(context);
        let url = self.place.url_of(&self.place.relative(whole))?;
        let mut state = context.state();
        // one file as one partition keeps its order
        state.config_mut().options_mut().optimizer.repartition_file_scans = false;
        let scan = context.read_table(relation(vec![url], table)?)?;
        let plan = state.create_physical_plan(scan.logical_plan()).await?;
        let mut lines = execute_stream(plan, state.task_ctx())?;
        while let Some(batch) = lines.next().await {
            let batch = with_schema(&batch?, &table.schema())?;
            for (writer, rows) in writers.iter_mut().zip(rows_by_part(&batch, table, parts)?) {
                writer.write(&take_record_batch(&batch, &UInt64Array::from(rows))?).await?;
            }
        }
        let mut written = Vec::with_capacity(parts);
        for (number, writer) in writers.into_iter().enumerate() {
            let (staged, finished) = ended(writer).await?;
            written.push(self.part(table, number, &staged, &finished));
        }
        delete(self.place.store.as_ref(), whole).await?;
        Ok(written)
    }
}

#[async_trait]
impl Sink for Stage {
    async fn append(
        &self,
        context: &SessionContext,
        table: &Table,
        plan: Arc<dyn ExecutionPlan>,
    ) -> Result<u64> {
        let cluster = cluster::of(context);
        if let Some(remote) = plan.downcast_ref::<OnCluster>() {
            let kind = Kind::Rows { table: table.name.to_owned(), groups: table.groups.clone() };
            let files = kept::write_between(context, remote, kind).await?;
            let appended = files.iter().map(|file| file.rows).sum();
            self.written().spread.entry(table.name).or_default().push(files);
            return Ok(appended);
        }
        if let Some(cluster) = cluster.filter(|_| !table.groups.is_empty()) {
            // other groups may be large: their rows come in between
            let rows: Vec<RecordBatch> = execute_stream(plan, context.task_ctx())?.try_collect().await?;
            let rows =
                rows.iter().map(|batch| with_schema(batch, &table.schema())).collect::<Result<Vec<_>>>()?;
            let file = cluster.scratch.write(&table.schema(), &rows).await?;
            let appended = file.rows;
            self.written().spread.entry(table.name).or_default().push(vec![file]);
            return Ok(appended);
        }
        let mut writer = self.take_writer(table);
        let before = writer.rows;
        // in a task of its own: tables that are written side by side are computed side by side
        let mut stream = spawn_buffered(execute_stream(plan, context.task_ctx())?, BATCHES_AHEAD);
        while let Some(batch) = stream.next().await {
            writer.write(&with_schema(&batch?, &table.schema())?).await?;
        }
        let appended = writer.rows - before;
        self.written().open.insert(table.name, writer);
        Ok(appended)
    }

    async fn finish(&self, context: &SessionContext, table: &Table) -> Result<Arc<dyn TableProvider>> {
        let spread = self.written().spread.remove(table.name);
        if let Some(spread) = spread {
            let parts = self.gather(context, table, &spread).await?;
            return self.note(context, table, parts);
        }
        let (staged, written) = ended(self.take_writer(table)).await?;
        let rows = written.rows;
        let parts = if rows > self.rows_per_part as u64 {
            self.split(context, table, &staged, rows).await?
        } else {
            vec![self.part(table, 0, &staged, &written)]
        };
        self.note(context, table, parts)
    }
}

async fn ended(writer: PartWriter) -> Result<(Path, Written)> {
    let staged = writer.staged.clone();
    Ok((staged, writer.finish().await?))
}

/// Published or staged parts as a relation with the table's schema.
///
/// # Errors
/// When there is no part.
pub fn relation(urls: Vec<ListingTableUrl>, table: &Table) -> Result<Arc<dyn TableProvider>> {
    let options = ListingOptions::new(Arc::new(ParquetFormat::default())).with_file_extension(".parquet");
    let config = ListingTableConfig::new_with_multi_paths(urls)
        .with_listing_options(options)
        .with_schema(table.schema());
    Ok(Arc::new(ListingTable::try_new(config)?))
}

/// For each part the rows whose key hashes to it.
fn rows_by_part(batch: &RecordBatch, table: &Table, parts: usize) -> Result<Vec<Vec<u64>>> {
    let keys: Vec<_> = table.key().filter_map(|name| batch.column_by_name(name).cloned()).collect();
    let mut by_part = vec![Vec::new(); parts];
    for (row, part) in part_numbers(&keys, parts as u64)?.values().iter().enumerate() {
        by_part[*part as usize].push(row as u64);
    }
    Ok(by_part)
}

/// The stages and measures of a summary.
fn keys(summary: &RecordBatch) -> impl Iterator<Item = (&str, &str)> {
    let [stages, measures] = [0, 1].map(|column| summary.column(column).as_string::<i32>());
    stages.iter().flatten().zip(measures.iter().flatten())
}
