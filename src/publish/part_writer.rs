//! One Parquet object being written: the columns of a row group are encoded side by side.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch};
use datafusion::arrow::compute::BatchCoalescer;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
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
use tokio::task::JoinHandle;

use crate::error::{Error, Result};

/// Rows handed to the encoders at a time: pages end where batches do, so their size must not depend on the engine.
const ROWS_PER_BATCH: usize = 8192;
/// Few enough that readers divide a table among their cores; a multiple of the rows of a batch.
const ROWS_PER_ROW_GROUP: usize = 1 << 17;

/// How an object is compressed.
#[derive(Debug, Clone, Copy)]
pub enum Compressed {
    /// To be kept: zstd.
    Well,
    /// To be read once or twice: LZ4, and no statistics of pages.
    Fast,
}

/// Memory: the rows of one row group, and one more encoded.
pub struct PartWriter {
    pub staged: Path,
    pub rows: u64,
    object: BufWriter,
    compressed: Compressed,
    /// Opened once the first rows are known.
    file: Option<File>,
    schema: SchemaRef,
    coalescer: BatchCoalescer,
    /// Of the row group that is filling.
    batches: Vec<RecordBatch>,
    row_groups: usize,
    /// The columns of the row group before it.
    encoding: Vec<JoinHandle<ParquetResult<Vec<ArrowColumnChunk>>>>,
    digest: Sha256,
    bytes: u64,
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
            batches: Vec::new(),
            row_groups: 0,
            encoding: Vec::new(),
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
        if !self.batches.is_empty() {
            self.encode().await?;
        }
        self.end_row_group().await?;
        self.file()?.writer.finish()?;
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

    /// Adds a batch to the row group, and has that encoded once it is full.
    async fn add(&mut self, batch: RecordBatch) -> Result<()> {
        self.batches.push(batch);
        if self.batches.len() == ROWS_PER_ROW_GROUP / ROWS_PER_BATCH {
            self.encode().await?;
        }
        Ok(())
    }

    /// Has the columns of the gathered rows encoded, while the next are gathered.
    async fn encode(&mut self) -> Result<()> {
        self.end_row_group().await?;
        let row_group = self.row_groups;
        let mut writers = self.file()?.encoders.create_column_writers(row_group)?.into_iter();
        self.row_groups += 1;
        let batches: Arc<[RecordBatch]> = std::mem::take(&mut self.batches).into();
        for (column, field) in self.schema.fields().iter().enumerate() {
            let writers = writers.by_ref().take(leaves(field.data_type())).collect();
            let (batches, schema) = (Arc::clone(&batches), Arc::clone(&self.schema));
            self.encoding.push(tokio::spawn(async move { encoded(writers, &schema, &batches, column) }));
        }
        Ok(())
    }

    /// Writes the columns that were being encoded.
    async fn end_row_group(&mut self) -> Result<()> {
        if self.encoding.is_empty() {
            return Ok(());
        }
        let mut columns = Vec::with_capacity(self.encoding.len());
        for column in std::mem::take(&mut self.encoding) {
            let failed = |error| Error::internal("a column could not be encoded").caused_by(error);
            columns.extend(column.await.map_err(failed)??);
        }
        let mut row_group = self.file()?.writer.next_row_group()?;
        for column in columns {
            column.append_to_row_group(&mut row_group)?;
        }
        row_group.close()?;
        self.send().await
    }

    /// The file, for which the first rows tell how columns are encoded.
    fn file(&mut self) -> Result<&mut File> {
        let file = match self.file.take() {
            Some(file) => file,
            None => File::open(&self.schema, self.compressed, self.batches.first())?,
        };
        Ok(self.file.insert(file))
    }

    /// Hands what the file has written to the store.
    async fn send(&mut self) -> Result<()> {
        let bytes = std::mem::take(self.file()?.writer.inner_mut());
        self.digest.update(&bytes);
        self.bytes += bytes.len() as u64;
        Ok(self.object.put(bytes.into()).await?)
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
fn encoded(
    mut writers: Vec<ArrowColumnWriter>,
    schema: &SchemaRef,
    batches: &[RecordBatch],
    column: usize,
) -> ParquetResult<Vec<ArrowColumnChunk>> {
    for batch in batches {
        let leaves = compute_leaves(schema.field(column), batch.column(column))?;
        for (writer, leaf) in writers.iter_mut().zip(leaves) {
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
