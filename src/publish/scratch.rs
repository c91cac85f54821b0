//! Where relations stand between the stages of a run on a cluster: under its attempt, until its tables are staged.

use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::object_store::path::Path;
use datafusion::prelude::SessionContext;
use url::{Position, Url};

use super::part_writer::{Compressed, PartWriter};
use super::place::{Place, delete_below};
use crate::error::Result;
use crate::source::{ListedFiles, WrittenFile};

const FOLDER: &str = "between";

#[derive(Debug, Clone)]
pub struct Scratch {
    place: Place,
    folder: Path,
}

impl Scratch {
    /// That of an attempt.
    #[must_use]
    pub fn new(place: Place, run_id: uuid::Uuid) -> Self {
        let folder = place.attempt_path(&run_id.simple().to_string()).join(FOLDER);
        Self { place, folder }
    }

    /// Makes its store known to a session.
    pub fn register(&self, context: &SessionContext) {
        self.place.register(context);
    }

    /// The folder that executors write to.
    #[must_use]
    pub fn folder(&self) -> Url {
        self.place.folder_url(&self.folder)
    }

    /// Writes rows that the client has.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn write(&self, schema: &SchemaRef, batches: &[RecordBatch]) -> Result<WrittenFile> {
        let path = self.folder.clone().join(format!("{}.parquet", uuid::Uuid::new_v4().simple()));
        let mut writer =
            PartWriter::open(&self.place.store, path.clone(), Arc::clone(schema), Compressed::Fast);
        for batch in batches {
            writer.write(batch).await?;
        }
        let written = writer.finish().await?;
        Ok(WrittenFile { path, bytes: written.bytes, rows: written.rows })
    }

    /// What was written as a relation.
    ///
    /// # Errors
    /// When its URL is none.
    pub fn relation(&self, schema: SchemaRef, files: &[WrittenFile]) -> Result<ListedFiles> {
        let url = self.folder();
        ListedFiles::of_written(ObjectStoreUrl::parse(&url[..Position::BeforePath])?, schema, files)
    }

    /// Removes what no stage needs any more.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn clear(&self) -> Result<()> {
        delete_below(self.place.store.as_ref(), &self.folder).await
    }
}
