//! One Parquet object being written: the columns of a row group are encoded side by side, as its rows come.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::compute::BatchCoalescer;
use datafusion::arrow::datatypes::{DataType, FieldRef, SchemaRef};
use datafusion::common::hash_utils::{RandomState, create_hashes};
use datafusion::error::DataFusionError;
use datafusion::object_store::ObjectStore;
use datafusion::object_store::buffered::BufWriter;
use datafusion::object_store::path::Path;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::arrow::arrow_writer::{
    ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves,
};
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::errors::Result as ParquetResult;
use datafusion::parquet::file::properties::{EnabledStatistics, WriterProperties};
use datafusion::parquet::file::writer::SerializedFileWriter;
use datafusion::parquet::schema::types::ColumnPath;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::error::{Error, Result};

/// Rows handed to the encoders at a time: pages end where batches do, so their size must not depend on the engine.
const ROWS_PER_BATCH: usize = 8192;
/// Few enough that readers divide a table among their cores; a multiple of the rows of a batch.
const ROWS_PER_ROW_GROUP: usize = 1 << 17;

/// How many batches wait for an encoder that is slower than the others, before no more are taken.
const BATCHES_AHEAD: usize = 8;

/// How an object is compressed.
#[derive(Debug, Clone, Copy)]
pub enum Compressed {
    /// To be kept: zstd.
    Well,
    /// To be read once or twice: LZ4, and no statistics of pages.
    Fast,
}

/// Memory: rows of two row groups that wait to be encoded, as many as one has, and both encoded.
pub struct PartWriter {
    pub staged: Path,
    pub rows: u64,
    object: BufWriter,
    compressed: Compressed,
    /// Opened once the first rows are known.
    file: Option<File>,
    schema: SchemaRef,
    coalescer: BatchCoalescer,
    row_groups: usize,
    /// The row group that is filling.
    filling: RowGroup,
    /// The one before it.
    full: RowGroup,
    digest: Sha256,
    bytes: u64,
}

/// What encodes the columns of a row group, each of which is sent its values.
#[derive(Default)]
struct RowGroup {
    batches: usize,
    columns: Vec<mpsc::Sender<ArrayRef>>,
    encoded: Vec<JoinHandle<ParquetResult<Vec<ArrowColumnChunk>>>>,
}

struct File {
    writer: SerializedFileWriter<Vec<u8>>,
    encoders: ArrowRowGroupWriterFactory,
}

/// What was written to a part.
pub struct Written {
    pub rows: u64,
    pub bytes: u64,
    /// In hexadecimal digits.
    pub sha256: String,
}

impl fmt::Debug for PartWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartWriter")
            .field("staged", &self.staged)
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

impl PartWriter {
    #[must_use]
    pub fn open(
        store: &Arc<dyn ObjectStore>,
        staged: Path,
        schema: SchemaRef,
        compressed: Compressed,
    ) -> Self {
        Self {
            object: BufWriter::new(Arc::clone(store), staged.clone()),
            staged,
            rows: 0,
            compressed,
            file: None,
            coalescer: BatchCoalescer::new(Arc::clone(&schema), ROWS_PER_BATCH),
            schema,
            row_groups: 0,
            filling: RowGroup::default(),
            full: RowGroup::default(),
            digest: Sha256::new(),
            bytes: 0,
        }
    }

    pub async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.rows += batch.num_rows() as u64;
        if self.coalescer.is_empty() && batch.num_rows() == ROWS_PER_BATCH {
            // as it is to be: no need to copy it
            return self.add(batch.clone()).await;
        }
        self.coalescer.push_batch(batch.clone())?;
        self.gather().await
    }

    pub async fn finish(mut self) -> Result<Written> {
        self.coalescer.finish_buffered_batch()?;
        self.gather().await?;
        self.end_row_group().await?;
        self.end_row_group().await?;
        self.file(None)?.writer.finish()?;
        self.send().await?;
        self.object.shutdown().await.map_err(DataFusionError::IoError)?;
        Ok(Written { rows: self.rows, bytes: self.bytes, sha256: hex::encode(self.digest.finalize()) })
    }

    /// Takes full batches.
    async fn gather(&mut self) -> Result<()> {
        while let Some(batch) = self.coalescer.next_completed_batch() {
            self.add(batch).await?;
        }
        Ok(())
    }

    /// Has a batch encoded as the next rows of the row group.
    async fn add(&mut self, batch: RecordBatch) -> Result<()> {
        if self.filling.columns.is_empty() {
            let row_group = self.row_groups;
            let writers = self.file(Some(&batch))?.encoders.create_column_writers(row_group)?;
            self.filling = RowGroup::open(writers, &self.schema);
            self.row_groups += 1;
        }
        for (column, values) in self.filling.columns.iter().zip(batch.columns()) {
            // whatever broke off an encoder is told where that is waited for
            let _ = column.send(Arc::clone(values)).await;
        }
        self.filling.batches += 1;
        if self.filling.batches == ROWS_PER_ROW_GROUP / ROWS_PER_BATCH {
            self.end_row_group().await?;
        }
        Ok(())
    }

    /// Writes the row group before the one that is filling, and has that one in its place.
    async fn end_row_group(&mut self) -> Result<()> {
        let mut filled = std::mem::take(&mut self.filling);
        filled.columns.clear();
        let full = std::mem::replace(&mut self.full, filled);
        if full.encoded.is_empty() {
            return Ok(());
        }
        let mut columns = Vec::with_capacity(full.encoded.len());
        for column in full.encoded {
            let failed = |error| Error::internal("a column could not be encoded").caused_by(error);
            columns.extend(column.await.map_err(failed)??);
        }
        let mut row_group = self.file(None)?.writer.next_row_group()?;
        for column in columns {
            column.append_to_row_group(&mut row_group)?;
        }
        row_group.close()?;
        self.send().await
    }

    /// The file, for which the first rows tell how columns are encoded.
    fn file(&mut self, first_rows: Option<&RecordBatch>) -> Result<&mut File> {
        let file = match self.file.take() {
            Some(file) => file,
            None => File::open(&self.schema, self.compressed, first_rows)?,
        };
        Ok(self.file.insert(file))
    }

    /// Hands what the file has written to the store.
    async fn send(&mut self) -> Result<()> {
        let bytes = std::mem::take(self.file(None)?.writer.inner_mut());
        self.digest.update(&bytes);
        self.bytes += bytes.len() as u64;
        Ok(self.object.put(bytes.into()).await?)
    }
}

impl RowGroup {
    fn open(writers: Vec<ArrowColumnWriter>, schema: &SchemaRef) -> Self {
        let mut writers = writers.into_iter();
        let columns = schema.fields().iter().map(|field| {
            let writers = writers.by_ref().take(leaves(field.data_type())).collect();
            let (column, values) = mpsc::channel(BATCHES_AHEAD);
            (column, tokio::spawn(encoded(writers, Arc::clone(field), values)))
        });
        let (columns, encoded) = columns.unzip();
        Self { batches: 0, columns, encoded }
    }
}

impl File {
    fn open(schema: &SchemaRef, compressed: Compressed, first_rows: Option<&RecordBatch>) -> Result<Self> {
        let (compression, statistics) = match compressed {
            Compressed::Well => (Compression::ZSTD(ZstdLevel::try_new(3)?), EnabledStatistics::Page),
            Compressed::Fast => (Compression::LZ4_RAW, EnabledStatistics::Chunk),
        };
        let mut properties = WriterProperties::builder()
            .set_compression(compression)
            .set_max_row_group_row_count(Some(ROWS_PER_ROW_GROUP))
            .set_statistics_enabled(statistics)
            .set_created_by(concat!("regulars ", env!("CARGO_PKG_VERSION")).to_owned());
        if let Some(rows) = first_rows {
            for (field, column) in schema.fields().iter().zip(rows.columns()) {
                if hardly_repeats(column)? {
                    let path = ColumnPath::new(vec![field.name().clone()]);
                    properties = properties.set_column_dictionary_enabled(path, false);
                }
            }
        }
        let writer = ArrowWriter::try_new(Vec::new(), Arc::clone(schema), Some(properties.build()))?;
        let (writer, encoders) = writer.into_serialized_writer()?;
        Ok(Self { writer, encoders })
    }
}

/// Whether most values of a column are different, so that a dictionary of them saves nothing.
fn hardly_repeats(column: &ArrayRef) -> Result<bool> {
    if column.data_type().is_nested() {
        return Ok(false);
    }
    let mut hashes = vec![0; column.len()];
    create_hashes([column], &RandomState::default(), &mut hashes)?;
    hashes.sort_unstable();
    hashes.dedup();
    Ok(hashes.len() * 8 > column.len() * 7)
}

/// How many columns of Parquet a column of a type makes: one, but for structs.
fn leaves(data_type: &DataType) -> usize {
    match data_type {
        DataType::Struct(fields) => fields.iter().map(|field| leaves(field.data_type())).sum(),
        DataType::List(item) => leaves(item.data_type()),
        _ => 1,
    }
}

/// A column of a row group, with a writer for each column of Parquet that it makes.
async fn encoded(
    mut writers: Vec<ArrowColumnWriter>,
    field: FieldRef,
    mut values: mpsc::Receiver<ArrayRef>,
) -> ParquetResult<Vec<ArrowColumnChunk>> {
    while let Some(values) = values.recv().await {
        for (writer, leaf) in writers.iter_mut().zip(compute_leaves(&field, &values)?) {
            writer.write(&leaf)?;
        }
    }
    writers.into_iter().map(ArrowColumnWriter::close).collect()
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Int64Array, StringArray};

    use super::*;

    #[test]
    fn a_dictionary_is_for_values_that_repeat() {
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..800));
        let scores: ArrayRef = Arc::new(Int64Array::from_iter_values((0..800).map(|row| row % 700)));
        let labels: ArrayRef = Arc::new(StringArray::from_iter_values(["High"; 3]));
        assert!(hardly_repeats(&ids).unwrap());
        assert!(!hardly_repeats(&scores).unwrap());
        assert!(!hardly_repeats(&labels).unwrap());
    }
}
