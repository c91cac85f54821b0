//! A store whose failures name the object or the folder that they are about.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use datafusion::object_store::path::Path;
use datafusion::object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};

/// Passes everything on. An answer that breaks off, for one, comes without a name otherwise.
#[derive(Debug)]
pub struct Named<S>(pub S);

impl<S: ObjectStore> fmt::Display for Named<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The error with the object's name, unless it has it; those of other kinds say it themselves.
fn name(error: Error, location: &Path) -> Error {
    match error {
        Error::Generic { store, source } if !source.to_string().contains(location.as_ref()) => {
            Error::Generic { store, source: format!("{location}: {source}").into() }
        }
        other => other,
    }
}

/// A listing whose failure names the folder.
fn named_listing(
    listed: BoxStream<'static, Result<ObjectMeta>>,
    prefix: Option<&Path>,
) -> BoxStream<'static, Result<ObjectMeta>> {
    let prefix = prefix.cloned().unwrap_or_default();
    listed.map(move |object| object.map_err(|error| name(error, &prefix))).boxed()
}

/// A large object on its way.
#[derive(Debug)]
struct NamedUpload {
    upload: Box<dyn MultipartUpload>,
    location: Path,
}

#[async_trait]
impl MultipartUpload for NamedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let location = self.location.clone();
        let put = self.upload.put_part(data);
        async move { put.await.map_err(|error| name(error, &location)) }.boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.upload.complete().await.map_err(|error| name(error, &self.location))
    }

    async fn abort(&mut self) -> Result<()> {
        self.upload.abort().await.map_err(|error| name(error, &self.location))
    }
}

#[async_trait]
impl<S: ObjectStore> ObjectStore for Named<S> {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.0.put_opts(location, payload, options).await.map_err(|error| name(error, location))
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let upload =
            self.0.put_multipart_opts(location, options).await.map_err(|error| name(error, location))?;
        Ok(Box::new(NamedUpload { upload, location: location.clone() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let mut found = self.0.get_opts(location, options).await.map_err(|error| name(error, location))?;
        if let GetResultPayload::Stream(body) = found.payload {
            let location = Arc::new(location.clone());
            let named = body.map(move |bytes| bytes.map_err(|error| name(error, &location)));
            found.payload = GetResultPayload::Stream(named.boxed());
        }
        Ok(found)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.0.get_ranges(location, ranges).await.map_err(|error| name(error, location))
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        named_listing(self.0.list(prefix), prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        named_listing(self.0.list_with_offset(prefix, offset), prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let listed = self.0.list_with_delimiter(prefix).await;
        listed.map_err(|error| name(error, &prefix.cloned().unwrap_or_default()))
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await.map_err(|error| name(error, to))
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.0.rename_opts(from, to, options).await.map_err(|error| name(error, to))
    }
}
