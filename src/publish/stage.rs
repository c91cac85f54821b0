//! The stage: tables written as Parquet where no reader looks, with the same bytes for the same rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{Array, AsArray, BooleanArray, RecordBatch, UInt64Array};
use datafusion::arrow::compute::{
    SortColumn, concat_batches, filter_record_batch, lexsort_to_indices, take_record_batch,
};
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::catalog::TableProvider;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::object_store::ObjectStoreExt;
use datafusion::object_store::path::Path;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use sha2::{Digest, Sha256};

use super::manifest::{Part, TableObjects};
use super::part_writer::{Compressed, PartWriter, Written};
use super::place::{Place, delete};
use crate::error::Result;
use crate::rows::with_schema;
use crate::steps::Sink;
use crate::tables::{Table, part_name};

/// Writes a run's tables under its attempt.
#[derive(Debug)]
pub struct Stage {
    place: Place,
    attempt: String,
    rows_per_part: usize,
    as_delta: bool,
    /// Tables that are being written.
    open: BTreeMap<&'static str, PartWriter>,
    pub tables: BTreeMap<String, TableObjects>,
}

impl Stage {
    #[must_use]
    pub fn new(place: Place, attempt: String, rows_per_part: usize, as_delta: bool) -> Self {
        Self { place, attempt, rows_per_part, as_delta, open: BTreeMap::new(), tables: BTreeMap::new() }
    }

    /// Begins one object.
    fn open_part(&self, table: &Table, number: usize) -> Result<PartWriter> {
        let staged = self.place.staged(&self.attempt, table.name, number);
        PartWriter::open(&self.place.store, staged, table.schema(), Compressed::Well)
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

    /// A summary with the rows of an earlier one that are to be carried over; none where there are none.
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
        let before = self.read(before, table).await?;
        let (stages, measures) = (before.column(0).as_string::<i32>(), before.column(1).as_string::<i32>());
        let carried: BooleanArray = (0..before.num_rows())
            .map(|row| Some(is_carried(stages.value(row), measures.value(row))))
            .collect();
        if carried.true_count() == 0 {
            return Ok(None);
        }
        let own = self.read(own, table).await?;
        let all = concat_batches(&table.schema(), [&own, &filter_record_batch(&before, &carried)?])?;
        let by = |column: usize| SortColumn { values: Arc::clone(all.column(column)), options: None };
        let all = take_record_batch(&all, &lexsort_to_indices(&[by(0), by(1)], None)?)?;

        // beside the run's own summary, whose name is taken
        let mut writer = self.open_part(table, usize::try_from(generation).unwrap_or(usize::MAX))?;
        writer.write(&all).await?;
        let path = writer.staged.clone();
        let written = writer.finish().await?;
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

    /// Splits a table that has grown too large for one part: by a hash of the key, into a number of parts that depends on
    /// its rows alone, each in the table's order.
    async fn split(
        &mut self,
        context: &SessionContext,
        table: &Table,
        whole: &Path,
        rows: u64,
    ) -> Result<Vec<Part>> {
        let parts = usize::try_from(rows.div_ceil(self.rows_per_part as u64)).unwrap_or(usize::MAX);
        let mut writers = Vec::with_capacity(parts);
        for number in 0..parts {
            writers.push(self.open_part(table, number + 1)?);
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
            let staged = writer.staged.clone();
            let finished = writer.finish().await?;
            written.push(self.part(table, number, &staged, &finished));
        }
        delete(self.place.store.as_ref(), whole).await?;
        Ok(written)
    }
}

#[async_trait]
impl Sink for Stage {
    async fn append(
        &mut self,
        context: &SessionContext,
        table: &Table,
        plan: Arc<dyn ExecutionPlan>,
    ) -> Result<u64> {
        let mut writer = match self.open.remove(table.name) {
            Some(writer) => writer,
            None => self.open_part(table, 0)?,
        };
        let before = writer.rows;
        let mut stream = execute_stream(plan, context.task_ctx())?;
        while let Some(batch) = stream.next().await {
            writer.write(&with_schema(&batch?, &table.schema())?).await?;
        }
        let appended = writer.rows - before;
        self.open.insert(table.name, writer);
        Ok(appended)
    }

    async fn finish(&mut self, context: &SessionContext, table: &Table) -> Result<Arc<dyn TableProvider>> {
        let writer = match self.open.remove(table.name) {
            Some(writer) => writer,
            None => self.open_part(table, 0)?,
        };
        let staged = writer.staged.clone();
        let written = writer.finish().await?;
        let rows = written.rows;
        let parts = if rows > self.rows_per_part as u64 {
            self.split(context, table, &staged, rows).await?
        } else {
            vec![self.part(table, 0, &staged, &written)]
        };
        let relation = self.relation(context, table, &parts)?;
        let groups = table.groups.clone();
        self.tables.insert(table.name.to_owned(), TableObjects { rows, groups, parts });
        Ok(relation)
    }
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
    let fields = keys.iter().map(|key| SortField::new(key.data_type().clone())).collect();
    let encoded = RowConverter::new(fields)?.convert_columns(&keys)?;
    let mut by_part = vec![Vec::new(); parts];
    for (row, key) in encoded.iter().enumerate() {
        let digest = Sha256::digest(key.as_ref());
        let hash = digest.iter().take(8).fold(0_u64, |hash, byte| (hash << 8) | u64::from(*byte));
        by_part[usize::try_from(hash % parts as u64).unwrap_or(0)].push(row as u64);
    }
    Ok(by_part)
}
