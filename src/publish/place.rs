//! The output's place for one run date: its paths, and what stands there.

use std::path::PathBuf;
use std::sync::Arc;

use chrono::NaiveDate;
use datafusion::datasource::listing::ListingTableUrl;
use datafusion::object_store::path::Path;
use datafusion::object_store::{self, ObjectStore, ObjectStoreExt};
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;
use url::Url;

use super::manifest::Commit;
use crate::config::Output;
use crate::error::{Error, ErrorKind, Result};
use crate::location::Location;
use crate::store;
use crate::tables::part_name;

/// The output's place for one run date.
#[derive(Debug, Clone)]
pub struct Place {
    pub store: Arc<dyn ObjectStore>,
    pub(super) location: Location,
    root: Path,
    pub run_date: NaiveDate,
}

impl Place {
    /// The place that a configuration names.
    ///
    /// # Errors
    /// When the location cannot be opened.
    pub async fn open(output: &Output, run_date: NaiveDate) -> Result<Self> {
        let location = Location::parse(&output.location)?.into_folder();
        if location.glob.is_some() {
            return Err(Error::config("the output is a folder, not a glob").with("key", "output.location"));
        }
        refuse_what_is_no_folder(&location)?;
        Self::new(store::open(&location).await?, location, run_date)
    }

    /// A place in a store.
    ///
    /// # Errors
    /// When the location is not a path.
    pub fn new(store: Arc<dyn ObjectStore>, location: Location, run_date: NaiveDate) -> Result<Self> {
        let root = Path::from_url_path(location.url.path())
            .map_err(|error| Error::config("not a path").with("key", "output.location").caused_by(error))?;
        Ok(Self { store, location, root, run_date })
    }

    /// The same place for another date.
    #[must_use]
    pub fn at(&self, run_date: NaiveDate) -> Self {
        Self { run_date, ..self.clone() }
    }

    /// Makes the store known to a session, so that it can read what stands here.
    pub fn register(&self, context: &SessionContext) {
        context.register_object_store(&self.location.url, Arc::clone(&self.store));
    }

    /// Where an object stands, for a session that knows the store; its path is relative to the location.
    ///
    /// # Errors
    /// When the path is none.
    pub fn url_of(&self, relative: &str) -> Result<ListingTableUrl> {
        let url = self.location.object_url(&self.path_of(relative));
        Ok(ListingTableUrl::try_new(url, None)?)
    }

    /// The URL of the folder of a table's staged parts.
    pub(super) fn staged_folder_url(&self, attempt: &str, table: &str) -> Url {
        self.folder_url(&self.attempt_path(attempt).join(table))
    }

    /// The URL of a folder.
    pub(super) fn folder_url(&self, folder: &Path) -> Url {
        let mut url = self.location.object_url(folder);
        url.set_path(&format!("{}/", url.path()));
        url
    }

    /// The dates that anything was committed for, ascending.
    ///
    /// # Errors
    /// When the store cannot be listed.
    pub async fn run_dates(&self) -> Result<Vec<NaiveDate>> {
        let listed = self.store.list_with_delimiter(Some(&self.root.clone().join("_runs"))).await?;
        let mut dates: Vec<NaiveDate> = listed
            .common_prefixes
            .iter()
            .filter_map(|folder| folder.filename()?.strip_prefix("run_date=")?.parse().ok())
            .collect();
        dates.sort_unstable();
        Ok(dates)
    }

    /// What is published: the manifest of the last commit promoted.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn published(&self) -> Result<Option<Commit>> {
        match self.read(&self.runs().join("published.json")).await {
            Err(error) if error.kind() == ErrorKind::Damaged => {
                // it says nothing that the commits do not, so it is written again
                tracing::warn!(%error, "taken for missing");
                Ok(None)
            }
            found => found,
        }
    }

    /// The newest commit, promoted or not.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn latest_commit(&self) -> Result<Option<Commit>> {
        match self.generations().await?.last() {
            Some(generation) => self.read(&self.commit_path(*generation)).await,
            None => Ok(None),
        }
    }

    /// The output's folder, where it is on a local disk.
    pub(super) fn local_folder(&self) -> Option<PathBuf> {
        self.location.local_path()
    }

    pub(super) fn runs(&self) -> Path {
        self.root.clone().join("_runs").join(format!("run_date={}", self.run_date))
    }

    pub(super) fn commit_path(&self, generation: u64) -> Path {
        self.runs().join("commits").join(format!("{generation:08}.json"))
    }

    pub(super) fn attempt_path(&self, attempt: &str) -> Path {
        self.runs().join("attempts").join(attempt)
    }

    pub(super) fn staged(&self, attempt: &str, table: &str, part: usize) -> Path {
        self.attempt_path(attempt).join(table).join(part_name(part))
    }

    pub(super) fn relative(&self, path: &Path) -> String {
        let below = path.as_ref().strip_prefix(self.root.as_ref()).unwrap_or(path.as_ref());
        below.trim_start_matches('/').to_owned()
    }

    pub(super) fn path_of(&self, relative: &str) -> Path {
        relative.split('/').fold(self.root.clone(), Path::join)
    }

    /// The generations of the date that are kept, ascending.
    ///
    /// # Errors
    /// When the store cannot be listed.
    pub async fn generations(&self) -> Result<Vec<u64>> {
        let commits: Vec<_> = self.store.list(Some(&self.runs().join("commits"))).try_collect().await?;
        let mut generations: Vec<u64> = commits
            .iter()
            .filter_map(|object| object.location.filename()?.strip_suffix(".json")?.parse().ok())
            .collect();
        generations.sort_unstable();
        // a listing may lag behind; what can be read is there
        while let Some(last) = generations.last() {
            let next = last + 1;
            match self.store.head(&self.commit_path(next)).await {
                Ok(_) => generations.push(next),
                Err(object_store::Error::NotFound { .. }) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(generations)
    }

    pub(super) async fn read(&self, path: &Path) -> Result<Option<Commit>> {
        let bytes = match self.store.get(path).await {
            Ok(found) => found.bytes().await?,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(Error::from(error).with("object", path)),
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| {
            Error::new(ErrorKind::Damaged, "a manifest is damaged").with("object", path).caused_by(error)
        })
    }
}

/// On a local disk: what stands of the output's path, and where its records go, must be folders.
fn refuse_what_is_no_folder(location: &Location) -> Result<()> {
    let Some(output) = location.local_path() else { return Ok(()) };
    // without the last slash, which would follow a link
    let output: PathBuf = output.components().collect();
    let standing = output.ancestors().find(|path| path.symlink_metadata().is_ok());
    let records = Some(output.join("_runs")).filter(|path| path.symlink_metadata().is_ok());
    let standing = standing.into_iter().map(std::path::Path::to_owned);
    match standing.chain(records).find(|path| !path.is_dir()) {
        None => Ok(()),
        Some(path) => Err(Error::config("the output is to be a folder, and something there is none")
            .with("path", path.display())
            .with("key", "output.location")),
    }
}

/// Deletes an object, which may be gone already.
pub(super) async fn delete(store: &dyn ObjectStore, path: &Path) -> Result<()> {
    match store.delete(path).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(Error::from(error).with("object", path)),
    }
}

pub(super) async fn delete_below(store: &dyn ObjectStore, folder: &Path) -> Result<()> {
    let objects: Vec<_> = store.list(Some(folder)).try_collect().await?;
    for object in objects {
        delete(store, &object.location).await?;
    }
    Ok(())
}
