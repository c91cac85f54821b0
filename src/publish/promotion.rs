//! The commit and what follows it: promotion of its objects, which any later run can finish.

use std::collections::BTreeSet;

use datafusion::object_store::path::Path;
use datafusion::object_store::{self, ObjectStoreExt, PutMode, PutPayload};
use futures::TryStreamExt;

use super::manifest::Commit;
use super::place::{Place, delete};
use crate::crash_point::crash_point;
use crate::error::{Error, ErrorKind, Result};

impl Place {
    /// Creates a commit unless its generation exists; true when ours stands, also when only the answer was lost.
    pub(super) async fn create(&self, commit: &Commit) -> Result<bool> {
        let path = self.commit_path(commit.generation);
        match self.store.put_opts(&path, json(commit)?, PutMode::Create.into()).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                let standing = self.read(&path).await?;
                Ok(standing.is_some_and(|standing| standing.attempt == commit.attempt))
            }
            Err(error) => Err(Error::from(error).with("object", path)),
        }
    }

    /// Brings the tables' prefixes to what a commit says, then to what any newer commit says.
    pub(super) async fn promote(&self, commit: Commit) -> Result<Commit> {
        let mut commit = commit;
        loop {
            if let Err(error) = self.promote_parts(&mut commit).await {
                // what a newer generation dropped may be gone already
                match self.latest_commit().await? {
                    Some(newer) if newer.generation > commit.generation => commit = newer,
                    _ => return Err(error),
                }
                continue;
            }
            crash_point("promoted");
            if commit.as_delta {
                self.commit_to_delta(&commit).await?;
            }
            self.remove_strays(&commit).await?;
            crash_point("recording");
            let manifest = self.runs().join("published.json");
            self.store.put(&manifest, json(&commit)?).await?;
            crash_point("recorded");
            match self.latest_commit().await? {
                Some(newer) if newer.generation > commit.generation => commit = newer,
                _ => return Ok(commit),
            }
        }
    }

    /// Copies what a commit stages to where it is published, and notes the etags there.
    async fn promote_parts(&self, commit: &mut Commit) -> Result<()> {
        let store = &self.store;
        for part in commit.tables.values_mut().flat_map(|table| &mut table.parts) {
            let published = self.path_of(&part.published);
            let failed = |error| {
                Error::new(ErrorKind::External, "an object cannot be promoted")
                    .with("object", &part.published)
                    .caused_by(error)
            };
            crash_point("promoting");
            let staged = self.path_of(&part.staged);
            if !self.is_promoted(&staged, &published).await.map_err(failed)? {
                store.copy(&staged, &published).await.map_err(failed)?;
            }
            part.e_tag = store.head(&published).await.map_err(failed)?.e_tag;
        }
        Ok(())
    }

    /// Whether an object is published already, as its size and etag tell: an earlier promotion may have come so far. On a local disk a
    /// copy is a second name of the same file, and to copy it once more would leave a third.
    async fn is_promoted(&self, staged: &Path, published: &Path) -> object_store::Result<bool> {
        let staged = self.store.head(staged).await?;
        match self.store.head(published).await {
            Ok(found) => {
                Ok(found.e_tag.is_some() && found.e_tag == staged.e_tag && found.size == staged.size)
            }
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes published parts of this date that a commit does not have; of Delta tables those that no kept generation has, for readers
    /// of older versions.
    pub(super) async fn remove_strays(&self, commit: &Commit) -> Result<()> {
        // listed before the commits are read: what another run promotes meanwhile is named by then
        let mut standing = Vec::new();
        for table in crate::tables::TABLES {
            let folder = self.path_of(&format!("{}/run_date={}", table.name, self.run_date));
            standing.extend(self.store.list(Some(&folder)).try_collect::<Vec<_>>().await?);
        }
        let paths = |commit: &Commit| -> Vec<Path> {
            let parts = commit.tables.values().flat_map(|table| &table.parts);
            parts.map(|part| self.path_of(&part.published)).collect()
        };
        let mut named: BTreeSet<Path> = paths(commit).into_iter().collect();
        if commit.as_delta {
            for generation in self.generations().await? {
                let kept = self.read(&self.commit_path(generation)).await?;
                named.extend(kept.iter().filter(|kept| kept.as_delta).flat_map(paths));
            }
        }
        for object in standing.iter().filter(|object| !named.contains(&object.location)) {
            delete(self.store.as_ref(), &object.location).await?;
        }
        Ok(())
    }

    /// Whether every object that a manifest names is there as it was when promoted.
    pub(super) async fn stands(&self, published: &Commit) -> Result<bool> {
        for part in published.tables.values().flat_map(|table| &table.parts) {
            match self.store.head(&self.path_of(&part.published)).await {
                Ok(found) if found.size == part.bytes && found.e_tag == part.e_tag => {}
                Ok(_) | Err(object_store::Error::NotFound { .. }) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    /// A commit less the names whose staged objects are gone, which cannot be carried over.
    pub(super) async fn what_stands_of(&self, mut commit: Commit) -> Result<Commit> {
        for table in crate::tables::TABLES {
            let parts = commit.tables.get(table.name).map_or(&[][..], |table| &table.parts);
            for staged in parts.iter().map(|part| self.path_of(&part.staged)).collect::<Vec<_>>() {
                match self.store.head(&staged).await {
                    Ok(_) => {}
                    Err(object_store::Error::NotFound { .. }) => {
                        tracing::warn!(
                            table = table.name,
                            "its staged objects are gone; it is no longer published"
                        );
                        commit.tables.remove(table.name);
                        commit.fingerprints.retain(|name, _| table.selection != Some(name));
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(commit)
    }
}

fn json(commit: &Commit) -> Result<PutPayload> {
    let bytes = serde_json::to_vec_pretty(commit)
        .map_err(|error| Error::internal("a commit cannot be written as JSON").caused_by(error))?;
    Ok(PutPayload::from(bytes))
}
