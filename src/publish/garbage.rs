//! What nobody needs any more: old generations, the attempts of runs that died, files that were never finished.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path as LocalPath, PathBuf};
use std::time::Duration;

use chrono::Utc;
use datafusion::object_store::ObjectStore;
use futures::TryStreamExt;

use super::place::{Place, delete};
use crate::crash_point::crash_point;
use crate::error::Result;

impl Place {
    /// Removes generations beyond those to keep, attempts that no kept commit names once they are old enough, and files that were never
    /// finished. What cannot be removed now is left to a later run.
    pub(super) async fn tidy_up(&self, keep_generations: usize, orphan_age: Duration) {
        if let Err(error) = self.remove_unnamed(keep_generations, orphan_age).await {
            tracing::warn!(%error, "old generations could not be removed; a later run will");
        }
        self.remove_unfinished(orphan_age);
    }

    async fn remove_unnamed(&self, keep_generations: usize, orphan_age: Duration) -> Result<()> {
        let generations = self.generations().await?;
        let dropped = &generations[..generations.len().saturating_sub(keep_generations)];
        let mut dropped_attempts = BTreeSet::new();
        for generation in dropped {
            crash_point("collecting");
            let path = self.commit_path(*generation);
            if let Some(commit) = self.read(&path).await? {
                dropped_attempts.extend(commit.attempts().map(str::to_owned));
            }
            delete(self.store.as_ref(), &path).await?;
        }
        // read again: a rollback may have committed what one of those dropped names
        let mut named = BTreeSet::new();
        for generation in self.generations().await? {
            if let Some(commit) = self.read(&self.commit_path(generation)).await? {
                named.extend(commit.attempts().map(str::to_owned));
            }
        }
        let attempts = self.runs().join("attempts");
        let objects: Vec<_> = self.store.list(Some(&attempts)).try_collect().await?;
        for object in objects {
            let Some(attempt) = object
                .location
                .prefix_match(&attempts)
                .and_then(|mut parts| parts.next())
                .map(|part| part.as_ref().to_owned())
            else {
                continue;
            };
            let age = (Utc::now() - object.last_modified).to_std().unwrap_or_default();
            if !named.contains(&attempt) && (dropped_attempts.contains(&attempt) || age > orphan_age) {
                delete(self.store.as_ref(), &object.location).await?;
            }
        }
        Ok(())
    }

    /// Removes files that a process was writing when it was killed, once they are old enough. The store for local disks writes an object
    /// as a file whose name ends in `#` and a number before it is renamed, and never lists such files.
    fn remove_unfinished(&self, orphan_age: Duration) {
        let Some(output) = self.local_folder() else { return };
        let date = format!("run_date={}", self.run_date);
        let mut open: Vec<PathBuf> =
            crate::tables::TABLES.iter().map(|table| output.join(table.name).join(&date)).collect();
        open.push(output.join("_runs").join(&date));
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                match entry.metadata() {
                    Ok(found) if found.is_dir() => open.push(path),
                    Ok(found) if is_unfinished(&path) => {
                        let age = found.modified().ok().and_then(|modified| modified.elapsed().ok());
                        if age.is_some_and(|age| age > orphan_age) {
                            tracing::info!(file = %path.display(), "removing what a run that died had begun");
                            // one that another run removed is gone as well
                            let _ = fs::remove_file(path);
                        }
                    }
                    _ => {}
                }
            }
        }
    }
}

fn is_unfinished(path: &LocalPath) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.and_then(|name| name.rsplit_once('#')).is_some_and(|(_, number)| number.parse::<u64>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfinished_files_are_told_by_their_names() {
        for (name, expected) in
            [("a/part-00000.parquet#1", true), ("a#b", false), ("part-00000.parquet", false)]
        {
            assert_eq!(is_unfinished(LocalPath::new(name)), expected, "{name}");
        }
    }
}
