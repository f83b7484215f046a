//! Removes a store of mock mode, so that its program starts over.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::failure;
use super::files::DatabaseFile;
use super::lock::StoreLock;
use super::opening::open_judged;
use crate::store::{StoreError, StoreMode};

/// A store of mock mode, or the place of one, that no process can open while this value lives.
#[derive(Debug)]
pub(crate) struct HeldMockStore {
    file: DatabaseFile,
    lock: StoreLock,
}

impl HeldMockStore {
    /// Takes the store at `path`, or its place where there is none. It changes nothing.
    ///
    /// # Errors
    ///
    /// `Unavailable` when another process holds the store, `OtherMode` when it is one of live mode,
    /// `Newer` and `Corrupt` where it cannot be judged.
    pub(crate) fn hold(path: &Path) -> Result<HeldMockStore, StoreError> {
        let file = DatabaseFile::find(path)?;
        let lock = file.lock()?;
        if file.is_there()? {
            drop(open_judged(&file, StoreMode::Mock)?);
        }
        Ok(HeldMockStore { file, lock })
    }

    /// Removes the database and its companions, and returns the files that it removed. The lock's
    /// file stays: a process that is about to open the store waits for this very file.
    ///
    /// # Errors
    ///
    /// `Unavailable` when the operating system refuses. Then the removal can be repeated.
    pub(crate) fn remove(&self) -> Result<Vec<PathBuf>, StoreError> {
        let forgotten = self.lock.forget_commits();
        forgotten.map_err(|error| failure::refused(self.file.database(), &error))?;
        let mut removed = Vec::new();
        // The database last: without it, a log that is left could not be judged.
        for path in self.file.removable() {
            match fs::remove_file(&path) {
                Ok(()) => removed.push(path),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failure::refused(&path, &error)),
            }
        }
        Ok(removed)
    }
}
