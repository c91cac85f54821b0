//! The schema of the input, file by file, so that a file that does not fit is named.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use datafusion::parquet::file::metadata::ParquetMetaData;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};

use super::files;
use super::footers::Footers;
use crate::config::Input;
use crate::error::{Error, ErrorKind, Result};
use crate::location::Location;

/// Files whose schemas are read side by side.
const AT_A_TIME: usize = 32;

/// What footers may take in memory to be looked at again: those of some thousand files of a few columns.
const MOST_FOOTER_BYTES: usize = 32 << 20;

/// Parquet with Spark's old times of 96 bits in microseconds, whose range holds every date; nanoseconds end in 2262.
pub fn parquet_format() -> ParquetFormat {
    let mut options = datafusion::config::TableParquetOptions::default();
    options.global.coerce_int96 = Some("us".to_owned());
    ParquetFormat::default().with_options(options)
}

/// The columns of all files, and what their footers tell of them. A column may be missing from some, and has the same type in the others.
///
/// # Errors
/// When a file cannot be read, has a column twice, or one of another type than a file before.
pub async fn of_parquet(
    state: &dyn Session,
    store: &Arc<dyn ObjectStore>,
    location: &Location,
    files: &[ObjectMeta],
) -> Result<(SchemaRef, Footers)> {
    let read = |file| async move {
        // a footer that lies about its length makes the reader panic
        let found = AssertUnwindSafe(one_parquet(state, store, file)).catch_unwind().await;
        let found = found.unwrap_or_else(|_| Err(Error::corrupt_parquet()));
        let (schema, footer) = found.map_err(|error| error.with("file", location.name_of(&file.location)))?;
        Ok::<_, Error>(((file, schema), footer))
    };
    let mut found = stream::iter(files).map(read).buffered(AT_A_TIME);
    let (mut schemas, mut footers, mut footer_bytes) = (Vec::with_capacity(files.len()), Vec::new(), 0);
    while let Some((schema, footer)) = found.try_next().await? {
        schemas.push(schema);
        footer_bytes += footer.memory_size();
        if footer_bytes <= MOST_FOOTER_BYTES {
            footers.push(footer);
        } else {
            footers = Vec::new();
        }
    }
    refuse_other_types(location, &schemas)?;
    let merged = Schema::try_merge(schemas.iter().map(|(_, schema)| schema.as_ref().clone()))?;
    // a column may be missing from a file, whatever the others say of its nulls
    let nullable = merged.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    let schema = Arc::new(Schema::new(nullable.collect::<Vec<_>>()));
    let footers = Footers::try_new(footers, &schema)?;
    Ok((schema, footers))
}

async fn one_parquet(
    state: &dyn Session,
    store: &Arc<dyn ObjectStore>,
    file: &ObjectMeta,
) -> Result<(SchemaRef, Arc<ParquetMetaData>)> {
    // of columns of the same name the engine's schema has one
    let footer = DFParquetMetadata::new(store.as_ref(), file)
        .with_file_metadata_cache(Some(state.runtime_env().cache_manager.get_file_metadata_cache()))
        .fetch_metadata()
        .await?;
    let columns = footer.file_metadata().schema_descr().root_schema().get_fields();
    refuse_twice(columns.iter().map(|column| column.name()))?;
    let schema = parquet_format().infer_schema(state, store, std::slice::from_ref(file)).await?;
    Ok((schema, footer))
}

/// A column has the same type in all files that have it; one that is null throughout a file fits any.
fn refuse_other_types(location: &Location, schemas: &[(&ObjectMeta, SchemaRef)]) -> Result<()> {
    let mut known: BTreeMap<&str, (&DataType, &ObjectMeta)> = BTreeMap::new();
    for (file, schema) in schemas {
        for field in schema.fields().iter().filter(|field| *field.data_type() != DataType::Null) {
            let (expected, from) = *known.entry(field.name()).or_insert((field.data_type(), file));
            if expected != field.data_type() {
                let message = format!(
                    "a column has the type {expected} in {} and {} in another file; read them apart with a glob, or write \
                     them with one type",
                    location.name_of(&from.location),
                    field.data_type()
                );
                return Err(Error::new(ErrorKind::Schema, message)
                    .with("column", field.name())
                    .with("file", location.name_of(&file.location)));
            }
        }
    }
    Ok(())
}

fn refuse_twice<'a>(names: impl Iterator<Item = &'a str>) -> Result<()> {
    let mut seen = BTreeSet::new();
    match names.into_iter().find(|name| !seen.insert(*name)) {
        Some(twice) => {
            Err(Error::new(ErrorKind::Schema, "two columns have the same name").with("column", twice))
        }
        None => Ok(()),
    }
}

/// How the CSV files are written.
///
/// # Errors
/// When some are compressed and some are not.
pub fn csv_format(files: &[ObjectMeta], input: &Input) -> Result<CsvFormat> {
    let compressed = |file: &&ObjectMeta| file.location.extension() == Some("gz");
    let compression = match files.iter().filter(compressed).count() {
        0 => FileCompressionType::UNCOMPRESSED,
        all if all == files.len() => FileCompressionType::GZIP,
        _ => {
            return Err(Error::config(
                "some of the CSV files are compressed and some are not; read them apart with a glob",
            ));
        }
    };
    Ok(CsvFormat::default()
        .with_has_header(input.csv_header)
        .with_delimiter(input.csv_delimiter)
        // a file is not divided, since a line break may stand in a quoted value
        .with_newlines_in_values(true)
        .with_schema_infer_max_rec(1)
        .with_file_compression_type(compression))
}

/// The columns of CSV files, all of them strings, so that "00123" stays; each file must have the same, since they are
/// told apart by their place.
///
/// # Errors
/// When a file cannot be read, is empty, has a column twice, or other columns than the first.
pub async fn of_csv(
    state: &dyn Session,
    store: &Arc<dyn ObjectStore>,
    location: &Location,
    files: &[ObjectMeta],
    csv: &CsvFormat,
) -> Result<SchemaRef> {
    let read = |file| async move {
        let found = one_csv(state, store, file, csv).await;
        Ok::<_, Error>((file, found.map_err(|error| error.with("file", location.name_of(&file.location)))?))
    };
    let mut schemas = stream::iter(files).map(read).buffered(AT_A_TIME);
    let mut first: Option<SchemaRef> = None;
    while let Some((file, found)) = schemas.try_next().await? {
        match &first {
            None => first = Some(found),
            Some(first) if *first == found => {}
            Some(first) => {
                let message =
                    format!("a CSV file has the columns {}, the first file {}", names(&found), names(first));
                return Err(
                    Error::new(ErrorKind::Schema, message).with("file", location.name_of(&file.location))
                );
            }
        }
    }
    first.ok_or_else(|| Error::internal("a schema is asked of no files"))
}

async fn one_csv(
    state: &dyn Session,
    store: &Arc<dyn ObjectStore>,
    file: &ObjectMeta,
    csv: &CsvFormat,
) -> Result<SchemaRef> {
    if csv.has_header().unwrap_or(true)
        && csv.options().compression == FileCompressionType::UNCOMPRESSED.into()
    {
        let header = header(store.as_ref(), file, csv.delimiter()).await?;
        let is_blank = |name: &&str| name.trim_matches(['\u{feff}', ' ', '\r', '\n', '\t']).is_empty();
        if header.iter().all(|name| is_blank(&name)) {
            return Err(Error::new(ErrorKind::Input, "a file is empty, or its first line is"));
        }
        refuse_twice(header.iter())?;
    }
    let found = csv.infer_schema(state, store, std::slice::from_ref(file)).await?;
    Ok(files::as_strings(&found))
}

/// The first record of a CSV file, as far as the engine's own reading of the schema would not tell what is wrong with it.
async fn header(store: &dyn ObjectStore, file: &ObjectMeta, delimiter: u8) -> Result<csv::StringRecord> {
    const LONGEST_HEADER: u64 = 1 << 17;
    let start = store.get_range(&file.location, 0..file.size.min(LONGEST_HEADER)).await?;
    let text = String::from_utf8_lossy(&start);
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .from_reader(text.trim_start_matches('\u{feff}').as_bytes());
    let mut record = csv::StringRecord::new();
    reader.read_record(&mut record).map_err(|error| {
        Error::new(ErrorKind::Input, "the header of a CSV file cannot be read").caused_by(error)
    })?;
    Ok(record)
}

fn names(schema: &Schema) -> String {
    schema.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>().join(", ")
}
