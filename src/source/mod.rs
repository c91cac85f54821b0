//! The order lines as they stand: which files, of which format and schema.

use std::sync::Arc;

use datafusion::datasource::file_format::FileFormat;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::object_store::path::Path;
use datafusion::object_store::{self, ObjectMeta, ObjectStore, ObjectStoreExt};
use datafusion::prelude::{DataFrame, SessionContext};
use futures::{StreamExt, TryStreamExt};
use url::Position;

use self::footers::Footers;
use crate::config::{Columns, Format, Input};
use crate::error::{Error, ErrorKind, Result};
use crate::location::Location;
use crate::store;

mod cast;
mod files;
mod footers;
mod hierarchy;
mod mapping;
mod order_line;
mod schema;

pub use files::{ListedFiles, WrittenFile};
pub use hierarchy::Hierarchy;
pub use mapping::predicate;
pub use order_line::{OrderLine, end_of, order_line};

/// Objects of the input whose names begin so, or lie in a folder whose name does, are not data.
const HIDDEN: [char; 2] = ['_', '.'];

/// The input as found: its files and a frame over their lines.
#[derive(Debug)]
pub struct Source {
    pub files: Vec<ObjectMeta>,
    pub lines: DataFrame,
    location: Location,
    format: Format,
    /// Of Parquet.
    footers: Footers,
}

impl Source {
    /// Lists the input and reads its schema.
    ///
    /// # Errors
    /// When there is no file, the format cannot be told, or a schema cannot be read.
    pub async fn open(context: &SessionContext, input: &Input) -> Result<Self> {
        let at = |error: Error| error.with("input", &input.location);
        let location = Location::parse(&input.location)?;
        let store = store::open(&location).await.map_err(at)?;
        context.register_object_store(&location.url, Arc::clone(&store));
        let (location, listed) = list(store.as_ref(), location).await.map_err(at)?;
        let (format, endings) = format_of(&listed, input).map_err(at)?;
        let (files, others): (Vec<ObjectMeta>, Vec<ObjectMeta>) = listed
            .into_iter()
            .partition(|file| endings.iter().any(|ending| file.location.as_ref().ends_with(ending)));
        if let Some(other) = others.first() {
            tracing::warn!(files = others.len(), first = %other.location, "files with another ending are not read");
        }
        let (lines, footers) = table(context, &store, &location, &files, format, input).await.map_err(at)?;
        Ok(Self { files, lines, location, format, footers })
    }

    /// The first file that cannot be read to its end, if any: for an error that does not tell which.
    pub async fn unreadable_file(&self, context: &SessionContext, input: &Input) -> Option<String> {
        let store = context.runtime_env().object_store_registry.get_store(&self.location.url).ok()?;
        for file in &self.files {
            let alone = std::slice::from_ref(file);
            let is_readable = async {
                let (lines, _) = table(context, &store, &self.location, alone, self.format, input).await?;
                let mut batches = lines.execute_stream().await?;
                while let Some(batch) = batches.next().await {
                    batch?;
                }
                Ok::<_, Error>(())
            };
            if is_readable.await.is_err() {
                return Some(self.location.name_of(&file.location));
            }
        }
        None
    }

    /// A table beside the input, such as one of categories.
    ///
    /// # Errors
    /// As `open`.
    pub async fn open_table(context: &SessionContext, location: &str) -> Result<Self> {
        let input = Input {
            location: location.to_owned(),
            format: None,
            csv_header: true,
            csv_delimiter: b',',
            partitions: None,
            filter: None,
            timezone: "UTC".to_owned(),
            columns: Columns::default(),
        };
        Self::open(context, &input).await
    }
}

/// The files, byte-wise by name, and the location as the folder or file that it turned out to be.
async fn list(store: &dyn ObjectStore, location: Location) -> Result<(Location, Vec<ObjectMeta>)> {
    let path = path_of(&location)?;
    if !location.is_folder() && location.glob.is_none() {
        match store.head(&path).await {
            Ok(file) => return Ok((location, vec![file])),
            Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let location = location.into_folder();
    if let Some(glob) = &location.glob {
        glob::Pattern::new(glob)
            .map_err(|error| Error::config("not a glob").with("glob", glob).caused_by(error))?;
    }
    let below = |file: &ObjectMeta| -> Option<String> {
        let parts: Vec<String> =
            file.location.prefix_match(&path)?.map(|part| part.as_ref().to_owned()).collect();
        (!parts.iter().any(|part| part.starts_with(HIDDEN))).then(|| parts.join("/"))
    };
    let mut files: Vec<ObjectMeta> = store.list(Some(&path)).try_collect().await?;
    files.retain(|file| {
        below(file).is_some_and(|name| location.glob.as_ref().is_none_or(|glob| matches(glob, &name)))
    });
    files.sort_by(|a, b| a.location.cmp(&b.location));
    if files.is_empty() {
        return Err(Error::new(ErrorKind::Input, "there are no files there"));
    }
    Ok((location, files))
}

/// Whether a glob matches a path below its folder; a star stays within a folder, two stars do not.
#[must_use]
pub fn matches(glob: &str, path: &str) -> bool {
    let options = glob::MatchOptions { require_literal_separator: true, ..glob::MatchOptions::default() };
    glob::Pattern::new(glob).is_ok_and(|glob| glob.matches_with(path, options))
}

/// The format and the endings of the files to read: as configured, else as the names tell. Where no file has an ending of
/// the configured format, all are read.
fn format_of(files: &[ObjectMeta], input: &Input) -> Result<(Format, &'static [&'static str])> {
    const PARQUET: &[&str] = &[".parquet"];
    const CSV: &[&str] = &[".csv", ".csv.gz"];
    let any = |endings: &[&str]| {
        files.iter().any(|file| endings.iter().any(|ending| file.location.as_ref().ends_with(ending)))
    };
    match (input.format, any(PARQUET), any(CSV)) {
        (Some(Format::Parquet), true, _) | (None, true, false) => Ok((Format::Parquet, PARQUET)),
        (Some(Format::Csv), _, true) | (None, false, true) => Ok((Format::Csv, CSV)),
        (Some(format), ..) => Ok((format, &[""])),
        (None, false, false) => {
            Err(Error::config("no file there ends in .parquet or .csv; say which they are with input.format"))
        }
        (None, true, true) => {
            Err(Error::config("there are both .parquet and .csv files; say which with input.format"))
        }
    }
}

/// The lines of files, and what their footers tell of them.
async fn table(
    context: &SessionContext,
    store: &Arc<dyn ObjectStore>,
    location: &Location,
    files: &[ObjectMeta],
    format: Format,
    input: &Input,
) -> Result<(DataFrame, Footers)> {
    let base = path_of(location)?;
    let partitions = partitions(&base, location, files, input)?;
    if let Some(empty) = files.iter().find(|file| file.size == 0) {
        return Err(
            Error::new(ErrorKind::Input, "a file is empty").with("file", location.name_of(&empty.location))
        );
    }
    let state = context.state();
    let (file_format, schema, footers): (Arc<dyn FileFormat>, _, _) = match format {
        Format::Parquet => {
            let (schema, footers) = schema::of_parquet(&state, store, location, files).await?;
            (Arc::new(schema::parquet_format()), schema, footers)
        }
        Format::Csv => {
            let csv = schema::csv_format(files, input)?;
            let schema = schema::of_csv(&state, store, location, files, &csv).await?;
            (Arc::new(csv), schema, Footers::none())
        }
    };
    let store_url = ObjectStoreUrl::parse(&location.url[..Position::BeforePath])?;
    let listed = ListedFiles::try_new(store_url, file_format, schema, &base, &partitions, files)?;
    Ok((context.read_table(Arc::new(listed))?, footers))
}

/// The partition columns: those that are configured, which every file must lie in folders of; else those of the first file, which all
/// others must share.
fn partitions(base: &Path, location: &Location, files: &[ObjectMeta], input: &Input) -> Result<Vec<String>> {
    let names = |file: &ObjectMeta| -> Vec<String> {
        files::folders(base, file).into_iter().map(|(name, _)| name).collect()
    };
    let partitions = input.partitions.clone().unwrap_or_else(|| names(&files[0]));
    let fits = |found: &[String]| match &input.partitions {
        Some(configured) => configured.iter().all(|name| found.contains(name)),
        None => partitions == found,
    };
    match files.iter().find(|file| !fits(&names(file))) {
        None => Ok(partitions),
        Some(outside) => {
            let by = if partitions.is_empty() { "nothing".to_owned() } else { partitions.join(", ") };
            let message =
                format!("a file lies outside the partitions by {by}; name the right ones with a glob");
            Err(Error::new(ErrorKind::Schema, message)
                .with("file", location.name_of(&outside.location))
                .with("key", "input.partitions"))
        }
    }
}

fn path_of(location: &Location) -> Result<Path> {
    Path::from_url_path(location.url.path())
        .map_err(|error| Error::new(ErrorKind::Input, "not a valid path").caused_by(error))
}
