//! The order lines as they stand: which files, of which format and schema.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::object_store::{self, ObjectMeta, ObjectStore, ObjectStoreExt};
use datafusion::prelude::{DataFrame, SessionContext};
use futures::TryStreamExt;

use crate::config::{Format, Input};
use crate::error::{Error, ErrorKind, Result};
use crate::location::Location;

mod cast;
mod order_line;

pub use order_line::{order_line, schema as order_line_schema};

/// Objects of the input whose names begin so, or lie in a folder whose name does, are not data.
const HIDDEN: [char; 2] = ['_', '.'];

/// The input as found: its files and a frame over their lines.
#[derive(Debug)]
pub struct Source {
    pub files: Vec<ObjectMeta>,
    pub lines: DataFrame,
}

impl Source {
    /// Lists the input and reads its schema.
    ///
    /// # Errors
    /// When there is no file, the format cannot be told, or a schema cannot be read.
    pub async fn open(context: &SessionContext, input: &Input) -> Result<Self> {
        let at = |error: Error| error.with("input", &input.location);
        let location = Location::parse(&input.location)?;
        let (store, _) = location.open()?;
        context.register_object_store(&location.url, Arc::clone(&store));
        let (location, listed) = list(store.as_ref(), location).await.map_err(at)?;
        let (format, extension) = format_of(&listed, input).map_err(at)?;
        let files: Vec<ObjectMeta> =
            listed.into_iter().filter(|file| file.location.as_ref().ends_with(&extension)).collect();
        let lines = table(context, &location, &files, format, &extension, input).await.map_err(at)?;
        Ok(Self { files, lines })
    }
}

/// The files, byte-wise by name, and the location as the folder or file that it turned out to be.
async fn list(store: &dyn ObjectStore, location: Location) -> Result<(Location, Vec<ObjectMeta>)> {
    let path = object_store::path::Path::from_url_path(location.url.path())
        .map_err(|error| Error::new(ErrorKind::Input, "not a valid path").caused_by(error))?;
    if !location.is_folder() && location.glob.is_none() {
        match store.head(&path).await {
            Ok(file) => return Ok((location, vec![file])),
            Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let location = location.into_folder();
    let glob = location.glob.as_deref().map(glob::Pattern::new).transpose().map_err(|error| {
        Error::config("not a glob")
            .with("input.location", location.glob.as_deref().unwrap_or_default())
            .caused_by(error)
    })?;
    let below = |file: &ObjectMeta| -> Option<String> {
        let parts: Vec<String> =
            file.location.prefix_match(&path)?.map(|part| part.as_ref().to_owned()).collect();
        (!parts.iter().any(|part| part.starts_with(HIDDEN))).then(|| parts.join("/"))
    };
    let options = glob::MatchOptions { require_literal_separator: true, ..glob::MatchOptions::default() };
    let mut files: Vec<ObjectMeta> = store.list(Some(&path)).try_collect().await?;
    files.retain(|file| {
        below(file).is_some_and(|name| glob.as_ref().is_none_or(|glob| glob.matches_with(&name, options)))
    });
    files.sort_by(|a, b| a.location.cmp(&b.location));
    if files.is_empty() {
        return Err(Error::new(ErrorKind::Input, "there are no files there"));
    }
    Ok((location, files))
}

/// The format and the ending of the files to read: as configured, else as the names tell. Where none has the format's
/// ending, all are read.
fn format_of(files: &[ObjectMeta], input: &Input) -> Result<(Format, String)> {
    const ENDINGS: [(&str, Format); 3] =
        [(".parquet", Format::Parquet), (".csv", Format::Csv), (".csv.gz", Format::Csv)];
    let found: BTreeSet<&str> = files
        .iter()
        .filter_map(|file| ENDINGS.iter().find(|(ending, _)| file.location.as_ref().ends_with(ending)))
        .map(|(ending, _)| *ending)
        .collect();
    let known = |wanted: Format| {
        ENDINGS
            .iter()
            .find(|(ending, format)| *format == wanted && found.contains(ending))
            .map(|(ending, _)| *ending)
    };
    match input.format {
        Some(format) => Ok((format, known(format).unwrap_or_default().to_owned())),
        None => match (known(Format::Parquet), known(Format::Csv)) {
            (Some(ending), None) => Ok((Format::Parquet, ending.to_owned())),
            (None, Some(ending)) => Ok((Format::Csv, ending.to_owned())),
            (None, None) => {
                Err(Error::config("no file there ends in .parquet or .csv; say which with input.format"))
            }
            (Some(_), Some(_)) => {
                Err(Error::config("there are both .parquet and .csv files; say which with input.format"))
            }
        },
    }
}

async fn table(
    context: &SessionContext,
    location: &Location,
    files: &[ObjectMeta],
    format: Format,
    extension: &str,
    input: &Input,
) -> Result<DataFrame> {
    let state = context.state();
    let file_format: Arc<dyn FileFormat> = match format {
        Format::Parquet => Arc::new(ParquetFormat::default()),
        Format::Csv => {
            let csv =
                CsvFormat::default().with_has_header(input.csv_header).with_delimiter(input.csv_delimiter);
            let compression =
                extension.rsplit('.').next().filter(|last| *last == "gz").unwrap_or_default().parse()?;
            Arc::new(csv.with_file_compression_type(compression))
        }
    };
    let partitions = match &input.partitions {
        Some(names) => names.clone(),
        None => hive_partitions(location, &files[0]),
    };
    let partitions: Vec<(String, DataType)> =
        partitions.into_iter().map(|name| (name, DataType::Utf8)).collect();
    let options =
        ListingOptions::new(file_format).with_file_extension(extension).with_table_partition_cols(partitions);
    let urls = match (&location.glob, location.is_folder()) {
        (None, true) => vec![ListingTableUrl::try_new(location.url.clone(), None)?.with_glob("[!_.]*")?],
        _ => files
            .iter()
            .map(|file| ListingTableUrl::try_new(location.object_url(&file.location), None))
            .collect::<Result<_, _>>()?,
    };
    let schema = options.infer_schema(&state, &urls[0]).await?;
    let schema = if format == Format::Csv { as_strings(&schema) } else { schema };
    let config =
        ListingTableConfig::new_with_multi_paths(urls).with_listing_options(options).with_schema(schema);
    let lines = context.read_table(Arc::new(ListingTable::try_new(config)?))?;
    if let Some(twice) = first_repeated(lines.schema().fields().iter().map(|field| field.name())) {
        return Err(Error::new(ErrorKind::Schema, "two columns have the same name").with("column", twice));
    }
    Ok(lines)
}

/// Every CSV column is read as text and cast by us, so that "00123" stays.
fn as_strings(schema: &Schema) -> SchemaRef {
    let text = |field: &Arc<Field>| Field::new(field.name(), DataType::Utf8, true);
    Arc::new(Schema::new(schema.fields().iter().map(text).collect::<Vec<_>>()))
}

/// The names in the `name=value` folders between the input's folder and a file.
fn hive_partitions(location: &Location, file: &ObjectMeta) -> Vec<String> {
    if location.glob.is_some() {
        return Vec::new();
    }
    let base = object_store::path::Path::from_url_path(location.url.path()).unwrap_or_default();
    let Some(parts) = file.location.prefix_match(&base) else { return Vec::new() };
    let parts: Vec<_> = parts.collect();
    let folders = &parts[..parts.len().saturating_sub(1)];
    folders.iter().filter_map(|part| part.as_ref().split_once('=')).map(|(name, _)| name.to_owned()).collect()
}

fn first_repeated<'a>(mut names: impl Iterator<Item = &'a String>) -> Option<&'a String> {
    let mut seen = BTreeSet::new();
    names.find(|name| !seen.insert(*name))
}
