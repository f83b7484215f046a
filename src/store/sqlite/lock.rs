//! The `-lock` file of a store: which process owns it, and how much that process wrote.
//!
//! A database opens without its write-ahead log as well, or with the part of a damaged one that is
//! still whole: as it was some transactions earlier, without a word. So `meta.commits` counts the
//! transactions, and the owner notes the count of the last one here before it answers. A store that
//! has fewer when it is opened lost some.
//!
//! The note is not synced. It outlives the process; after a power failure it may be an older one,
//! and then it notices less, but it is never ahead of a transaction that is on the disk.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::failure::{refused, unavailable};
use super::private::private;
use crate::store::StoreError;

/// Where the owner's process stands.
const OWNER: u64 = 0;

/// Where the count stands: a line has one width, so that each is written in its place.
const COMMITS: u64 = LINE as u64;

/// The width of a line: a number, blanks, and a line feed.
const LINE: usize = 21;

/// The lock of the process that owns a store. The lock is the kernel's: another process sees it at
/// once, and it ends with this one however it ends.
#[derive(Debug)]
pub(super) struct StoreLock {
    file: File,
    noted: i64,
}

impl StoreLock {
    /// Takes the store `database` by the lock file at `path`.
    pub(super) fn take(path: &Path, database: &Path) -> Result<StoreLock, StoreError> {
        let mut file = private(OpenOptions::new().read(true).write(true).create(true))
            .open(path)
            .map_err(|error| refused(path, &error))?;
        let locked = file.try_lock();
        let [owner, commits] = read_lines(&mut file);
        match locked {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(held_by(owner, database)),
            Err(TryLockError::Error(error)) => {
                let why = format!("cannot be locked ({error}): keep the store on a local disk");
                return Err(unavailable(path.display(), why));
            }
        }
        let lock = StoreLock { file, noted: commits.unwrap_or_default() };
        let noted = lock.write_line(OWNER, i64::from(std::process::id()));
        noted.map_err(|error| refused(path, &error))?;
        Ok(lock)
    }

    /// How many transactions the owners before this one noted: the store had so many, at least. 0
    /// where nothing is known.
    pub(super) fn noted_commits(&self) -> i64 {
        self.noted
    }

    /// Notes that the store has so many transactions.
    pub(super) fn note_commits(&self, commits: i64) {
        // A note that stays behind notices less, and refuses no store.
        drop(self.write_line(COMMITS, commits));
    }

    /// Lets the store be another one: of fewer transactions, or none.
    ///
    /// # Errors
    ///
    /// The operating system refuses.
    pub(super) fn forget_commits(&self) -> io::Result<()> {
        self.write_line(COMMITS, 0)
    }

    fn write_line(&self, at: u64, number: i64) -> io::Result<()> {
        let line = format!("{number:<20}\n");
        let mut file = &self.file;
        file.seek(SeekFrom::Start(at))?;
        file.write_all(line.as_bytes())
    }
}

/// The numbers of both lines, where they can be read.
fn read_lines(file: &mut File) -> [Option<i64>; 2] {
    let mut text = [0; 2 * LINE];
    let mut length = 0;
    while let Ok(read @ 1..) = file.read(&mut text[length..]) {
        length += read;
    }
    let mut lines = text[..length].split(|byte| *byte == b'\n');
    [(); 2].map(|()| std::str::from_utf8(lines.next()?).ok()?.trim_end().parse().ok())
}

fn held_by(owner: Option<i64>, database: &Path) -> StoreError {
    let holder = match owner {
        Some(owner) => format!("process {owner}"),
        None => "another process".to_owned(),
    };
    StoreError::held(format!(
        "{} is held by {holder}, and one process owns a store: end that one first, or name \
         another file",
        database.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::super::files::DatabaseFile;
    use crate::store::StoreErrorKind;

    fn file() -> (tempfile::TempDir, DatabaseFile) {
        let home = tempfile::tempdir().unwrap();
        let file = DatabaseFile::find(&home.path().join("paygate.db")).unwrap();
        (home, file)
    }

    #[test]
    fn the_next_owner_waits_for_this_one_and_for_no_other_failure() {
        let (_home, file) = file();
        let lock = file.lock().unwrap();
        let error = file.lock().unwrap_err();
        assert!(error.is_held() && error.kind == StoreErrorKind::Unavailable, "{error}");
        assert!(error.message.contains(&format!("process {}", std::process::id())), "{error}");
        drop(lock);
        std::fs::remove_file(file.beside("-lock")).unwrap();
        std::fs::create_dir(file.beside("-lock")).unwrap();
        let error = file.lock().unwrap_err();
        assert!(!error.is_held() && error.kind == StoreErrorKind::Unavailable, "{error}");
    }

    #[test]
    fn the_next_owner_reads_how_many_transactions_this_one_noted() {
        let (_home, file) = file();
        let noted = || file.lock().unwrap().noted_commits();
        assert_eq!(noted(), 0, "a new store");
        file.lock().unwrap().note_commits(1_234_567_890_123);
        assert_eq!(noted(), 1_234_567_890_123);
        file.lock().unwrap().note_commits(7);
        assert_eq!(noted(), 7, "nothing of the longer number is left");
        file.lock().unwrap().forget_commits().unwrap();
        assert_eq!(noted(), 0);
        std::fs::write(file.beside("-lock"), "some other text").unwrap();
        assert_eq!(noted(), 0, "nothing is known");
    }
}
