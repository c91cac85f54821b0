//! The folder that a run spills to: its own, and removed with it, or by the next run where it died.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};

const PREFIX: &str = "regulars-spill-";
const LOCK: &str = ".lock";

/// A folder below `engine.spill_dir`. A lock file beside it is held as long as its process lives, so that another can tell a folder
/// in use from one that was left behind.
#[derive(Debug)]
pub struct SpillFolder {
    path: PathBuf,
    lock_path: PathBuf,
    _lock: File,
}

impl SpillFolder {
    /// Creates one, after removing those whose processes are gone.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn create(spill_dir: &Path, key: &str) -> Result<Self> {
        let unusable = |error: std::io::Error| {
            Error::new(ErrorKind::Config, "the folder to spill to cannot be written; name another")
                .with("key", key)
                .with("value", spill_dir.display())
                .caused_by(error)
        };
        remove_abandoned(spill_dir);
        let name = format!("{PREFIX}{}", uuid::Uuid::new_v4().simple());
        let lock_path = spill_dir.join(format!("{name}{LOCK}"));
        let lock = File::create_new(&lock_path).map_err(unusable)?;
        // locked before the folder is there, which is what others look for
        lock.lock().map_err(unusable)?;
        let path = spill_dir.join(name);
        fs::create_dir(&path).map_err(unusable)?;
        Ok(Self { path, lock_path, _lock: lock })
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SpillFolder {
    fn drop(&mut self) {
        // what stays behind now is removed by the next run
        let _ = fs::remove_dir_all(&self.path);
        let _ = fs::remove_file(&self.lock_path);
    }
}

/// Removes the folders of processes that are gone; one that cannot be removed is left alone.
fn remove_abandoned(spill_dir: &Path) {
    let Ok(entries) = fs::read_dir(spill_dir) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX) && !name.ends_with(LOCK))
        else {
            continue;
        };
        let lock_path = spill_dir.join(format!("{name}{LOCK}"));
        let Ok(lock) = File::open(&lock_path) else { continue };
        match lock.try_lock() {
            Ok(()) => {
                tracing::info!(folder = %path.display(), "removing what a run that died had spilled");
                let _ = fs::remove_dir_all(&path);
                let _ = fs::remove_file(&lock_path);
            }
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn a_folder_goes_with_its_owner_and_those_of_the_dead_with_the_next() {
        let spill_dir = tempfile::tempdir().unwrap();
        let living = SpillFolder::create(spill_dir.path(), "key").unwrap();
        // as a process that was killed leaves it: nobody holds the lock
        let dead = spill_dir.path().join(format!("{PREFIX}dead"));
        fs::create_dir(&dead).unwrap();
        fs::write(dead.join("spilled"), "rows").unwrap();
        fs::write(spill_dir.path().join(format!("{PREFIX}dead{LOCK}")), "").unwrap();
        fs::write(spill_dir.path().join("somebody's"), "").unwrap();

        let next = SpillFolder::create(spill_dir.path(), "key").unwrap();
        assert!(living.path().is_dir() && next.path().is_dir() && !dead.exists());
        assert_eq!(names(spill_dir.path()), 5);
        drop((living, next));
        assert_eq!(names(spill_dir.path()), 1);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error =
            SpillFolder::create(&file.path().join("below"), "engine.spill_dir").unwrap_err().to_string();
        assert!(error.contains("engine.spill_dir"), "{error}");
    }
}
