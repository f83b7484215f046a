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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Sqlite, StoreErrorKind};

    /// A store of `mode` that nobody holds.
    fn closed(mode: StoreMode) -> (tempfile::TempDir, DatabaseFile) {
        let home = tempfile::tempdir().unwrap();
        let file = DatabaseFile::find(&home.path().join("paygate.db")).unwrap();
        drop(Sqlite::open_as(file.database(), mode).unwrap());
        (home, file)
    }

    #[test]
    fn a_removed_store_is_gone_with_its_companions_and_can_be_made_again() {
        let (_home, file) = closed(StoreMode::Mock);
        fs::write(file.beside("-new"), "half of one").unwrap();
        let held = HeldMockStore::hold(file.database()).unwrap();
        assert!(file.database().exists(), "it is only held");
        let removed = held.remove().unwrap();
        assert!(removed.contains(&file.beside("-new")), "{removed:?}");
        assert_eq!(removed.last(), Some(&file.database().to_owned()));
        assert!(removed.iter().all(|path| !path.exists()), "{removed:?}");
        assert!(held.remove().unwrap().is_empty(), "nothing is left to remove");
        drop(held);
        drop(Sqlite::open_as(file.database(), StoreMode::Mock).unwrap());
    }

    #[test]
    fn a_companion_that_cannot_be_removed_keeps_the_database() {
        let (_home, file) = closed(StoreMode::Mock);
        fs::create_dir(file.beside("-new")).unwrap();
        let held = HeldMockStore::hold(file.database()).unwrap();
        assert_eq!(held.remove().unwrap_err().kind, StoreErrorKind::Unavailable);
        assert!(file.database().exists());
        fs::remove_dir(file.beside("-new")).unwrap();
        held.remove().unwrap();
        assert!(!file.database().exists());
    }

    #[test]
    fn a_store_of_real_money_is_not_held_for_removal() {
        let (_home, file) = closed(StoreMode::Live);
        let error = HeldMockStore::hold(file.database()).unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::OtherMode);
        assert!(file.database().exists());
    }
}
