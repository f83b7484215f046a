//! The files of one store: their paths, the lock of the process that owns them, their rights.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::failure::{corrupt, refused, unavailable};
use super::lock::StoreLock;
use super::log::{APPLICATION_ID, Identity};
use super::private::{make_private, make_private_file};
use super::{failure, schema};
use crate::domain::time::Millis;
use crate::store::{StoreError, StoreMode};

/// The database file of one store, and the companions beside it.
#[derive(Clone, Debug)]
pub(super) struct DatabaseFile {
    database: PathBuf,
}

impl DatabaseFile {
    /// Finds the one absolute path of `path`, so that every way to write it meets the same lock.
    pub(super) fn find(path: &Path) -> Result<DatabaseFile, StoreError> {
        let shown = path.display();
        let Some(name) = path.file_name() else {
            return Err(unavailable(shown, "names no file"));
        };
        let database = match fs::symlink_metadata(path) {
            Ok(_) => path.canonicalize().map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => {
                    unavailable(shown, "is a link to a file that is missing: is its disk mounted?")
                }
                _ => refused(path, &error),
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let directory = match path.parent() {
                    Some(parent) if parent != Path::new("") => parent,
                    _ => Path::new("."),
                };
                let found = directory.canonicalize().map_err(|error| {
                    let why = format!("cannot be made: its directory is missing ({error})");
                    unavailable(shown, why)
                })?;
                found.join(name)
            }
            Err(error) => return Err(refused(path, &error)),
        };
        if let Ok(found) = fs::metadata(&database) {
            let why = match () {
                () if found.is_dir() => Some("is a directory: name a file in it"),
                () if !found.is_file() => Some("is no file: name one"),
                () if names(&found) > 1 => Some(
                    "has another name (a hard link), by which another process may open it \
                     unnoticed: remove one of the two",
                ),
                () => None,
            };
            if let Some(why) = why {
                return Err(unavailable(database.display(), why));
            }
        }
        Ok(DatabaseFile { database })
    }

    /// The database file.
    pub(super) fn database(&self) -> &Path {
        &self.database
    }

    /// Takes the store for this process.
    pub(super) fn lock(&self) -> Result<StoreLock, StoreError> {
        StoreLock::take(&self.beside("-lock"), &self.database)
    }

    /// Whether the store is there, as [`DatabaseFile::is_store`], and can be written.
    pub(super) fn is_there(&self) -> Result<bool, StoreError> {
        let shown = self.database.display();
        if !self.is_store()? {
            return match self.beside("-wal").exists() {
                true => Err(corrupt(shown, "only its -wal file is there")),
                false => Ok(false),
            };
        }
        let found =
            fs::metadata(&self.database).map_err(|error| refused(&self.database, &error))?;
        if found.permissions().readonly() {
            return Err(unavailable(shown, "is read-only: let paygate's user write it"));
        }
        Ok(true)
    }

    /// Whether a store's database is there, judged by the file alone: nothing is written, and no
    /// SQLite connection of this process may be open on it. One that is there only in part, empty
    /// or another program's is an error: none is ever replaced by an empty one.
    pub(super) fn is_store(&self) -> Result<bool, StoreError> {
        let shown = self.database.display();
        let mut file = match File::open(&self.database) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(refused(&self.database, &error)),
        };
        let refused = |error: io::Error| refused(&self.database, &error);
        let mut header = Vec::new();
        Read::by_ref(&mut file).take(100).read_to_end(&mut header).map_err(refused)?;
        if header.is_empty() {
            return Err(corrupt(shown, "it is empty"));
        }
        // https://www.sqlite.org/fileformat2.html, "The Database Header".
        if !header.starts_with(b"SQLite format 3\0") || header.len() < 100 {
            return Err(corrupt(shown, "it is no SQLite file"));
        }
        if header[68..72] != APPLICATION_ID.to_be_bytes() {
            return Err(corrupt(shown, "it is another program's SQLite file"));
        }
        Ok(true)
    }

    /// Makes an empty store. It gets its name when it is whole, so that a crash leaves none.
    pub(super) fn create(&self, mode: StoreMode) -> Result<(), StoreError> {
        self.create_durably(mode, File::sync_all)
    }

    /// As [`DatabaseFile::create`]: `sync` makes a file, or a directory, durable.
    fn create_durably(
        &self,
        mode: StoreMode,
        sync: impl Fn(&File) -> io::Result<()>,
    ) -> Result<(), StoreError> {
        let path = self.beside("-new");
        let refused = |error: io::Error| refused(&path, &error);
        remove_if_there(&path).map_err(refused)?;
        let file = make_private_file(&path).map_err(refused)?;
        let failed = |error| failure::opening(&path, &error);
        let connection = Connection::open_with_flags(&path, WRITE).map_err(failed)?;
        schema::create(&connection, mode).map_err(failed)?;
        connection.close().map_err(|(_, error)| failed(error))?;
        sync(&file).map_err(refused)?;
        fs::rename(&path, &self.database).map_err(refused)?;
        sync_directory(&self.database, sync).map_err(refused)
    }

    /// Lets nobody but their owner read the store's files: they hold buyers' names and an order's
    /// secrets. SQLite gives later companions the database's rights.
    pub(super) fn restrict(&self) {
        let companions = [self.beside("-wal"), self.beside("-shm"), self.beside("-lock")];
        for path in companions.iter().chain([&self.database]) {
            if let Err(error) = make_private(path) {
                let path = path.display();
                tracing::warn!(%path, %error, "others may read the store: run chmod 600 on it");
            }
        }
    }

    /// The files that the store has by its names: the database, and its write-ahead log once
    /// something was written.
    pub(super) fn opened_files(&self) -> Result<OpenedFiles, StoreError> {
        let find = |path: PathBuf| match fs::metadata(&path) {
            Ok(found) => Ok((path, number_of(&found))),
            Err(error) => Err(refused(&path, &error)),
        };
        Ok(OpenedFiles([find(self.database.clone())?, find(self.beside("-wal"))?]))
    }

    /// The index of the write-ahead log.
    pub(super) fn log_index(&self) -> PathBuf {
        self.beside("-shm")
    }

    /// The files that hold the store, the database last. The lock's is not one of them.
    #[cfg(feature = "mock")]
    pub(super) fn removable(&self) -> [PathBuf; 4] {
        let [wal, shm, new] = ["-wal", "-shm", "-new"].map(|suffix| self.beside(suffix));
        [wal, shm, new, self.database.clone()]
    }

    /// A connection that writes.
    pub(super) fn open_for_writing(&self) -> rusqlite::Result<Connection> {
        open_for_writing(&self.database)
    }

    /// A connection that only reads.
    pub(super) fn open_for_reading(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Connection::open_with_flags(&self.database, flags)
    }

    /// A connection that only reads, and waits at most so long for another program.
    pub(super) fn open_without_writing(&self, wait: Duration) -> Result<Connection, StoreError> {
        let opened = self.open_for_reading().and_then(|connection| {
            connection.busy_timeout(wait)?;
            Ok(connection)
        });
        opened.map_err(|error| failure::opening(&self.database, &error))
    }

    /// What the database is without its write-ahead log, where there is one.
    pub(super) fn identity_alone(&self) -> Option<Identity> {
        if fs::metadata(self.beside("-wal")).map_or(true, |log| log.len() == 0) {
            return None;
        }
        // What cannot be read alone may be whole with its log.
        Identity::of(&self.open_alone()?).ok()?
    }

    /// A connection that reads the database as if it had no log, and makes no file.
    pub(super) fn open_alone(&self) -> Option<Connection> {
        let escaped = self.database.to_str()?.replace('%', "%25").replace('?', "%3f");
        let address = format!("file:{}?immutable=1", escaped.replace('#', "%23"));
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_URI;
        Connection::open_with_flags(address, flags).ok()
    }

    /// Puts the whole database `new` in the place of this one, which gets another name, as does its
    /// log; returns that name. A crash between two steps leaves nothing that could be opened but
    /// the one or the other.
    pub(super) fn replace(&self, new: &Path, now: Millis) -> io::Result<Option<PathBuf>> {
        let kept = self.beside(&format!("-before-{}", now.0));
        let is_there = self.database.exists();
        if is_there {
            fs::hard_link(&self.database, &kept)?;
        }
        fs::rename(new, &self.database)?;
        let mut kept_log = kept.clone().into_os_string();
        kept_log.push("-wal");
        match fs::rename(self.beside("-wal"), kept_log) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        remove_if_there(&self.beside("-shm"))?;
        sync_directory(&self.database, File::sync_all)?;
        Ok(is_there.then_some(kept))
    }

    /// The file beside the database whose name ends so.
    pub(super) fn beside(&self, suffix: &str) -> PathBuf {
        let mut path = self.database.clone().into_os_string();
        path.push(suffix);
        path.into()
    }
}

/// Removes a file, unless there is none.
pub(super) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// A connection that writes to the database at `path`.
pub(super) fn open_for_writing(path: &Path) -> rusqlite::Result<Connection> {
    Connection::open_with_flags(path, WRITE)
}

/// The files that a store was opened with. SQLite goes on with them when somebody removes them or
/// puts others in their places, and what it writes then is gone with the process.
#[derive(Clone, Debug)]
pub(super) struct OpenedFiles([(PathBuf, FileNumber); 2]);

impl OpenedFiles {
    /// The database file.
    pub(super) fn database(&self) -> &Path {
        &self.0[0].0
    }

    /// The write-ahead log.
    pub(super) fn log(&self) -> &Path {
        &self.0[1].0
    }

    /// Whether the names still mean these files, and the database is not emptied. Two `stat`s, some
    /// 2 µs: little beside the wait for a disk that a transaction is.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let is_same = |(path, number): &&(PathBuf, FileNumber)| {
            // SQLite itself empties the log.
            let may_be_empty = path == self.log();
            let found = fs::metadata(path).ok().filter(|found| may_be_empty || found.len() > 0);
            found.is_some_and(|found| number_of(&found) == *number)
        };
        match self.0.iter().find(|file| !is_same(file)) {
            Some((path, _)) => Err(failure::replaced(path)),
            None => Ok(()),
        }
    }
}

/// The number of a file: device and inode, which are unique on this machine. Systems other than
/// Unix remove no file that is open: there every file has the same number.
type FileNumber = (u64, u64);

#[cfg(unix)]
fn number_of(found: &fs::Metadata) -> FileNumber {
    use std::os::unix::fs::MetadataExt;
    (found.dev(), found.ino())
}

#[cfg(not(unix))]
fn number_of(_: &fs::Metadata) -> FileNumber {
    (0, 0)
}

const WRITE: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

/// A name is durable when its directory is.
#[cfg(unix)]
pub(super) fn sync_directory(
    file: &Path,
    sync: impl Fn(&File) -> io::Result<()>,
) -> io::Result<()> {
    file.parent().map_or(Ok(()), |directory| sync(&File::open(directory)?))
}

#[cfg(not(unix))]
pub(super) fn sync_directory(_: &Path, _: impl Fn(&File) -> io::Result<()>) -> io::Result<()> {
    Ok(())
}

/// How many names a file has.
#[cfg(unix)]
fn names(found: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::nlink(found)
}

#[cfg(not(unix))]
fn names(_: &fs::Metadata) -> u64 {
    1
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::store::StoreErrorKind;

    fn files() -> (tempfile::TempDir, DatabaseFile) {
        let home = tempfile::tempdir().unwrap();
        let files = DatabaseFile::find(&home.path().join("paygate.db")).unwrap();
        (home, files)
    }

    #[test]
    fn a_new_store_is_durable_before_it_has_its_name_and_its_name_is_durable_then() {
        let (_home, files) = files();
        let synced = RefCell::new(Vec::new());
        let sync = |file: &File| {
            let found = file.metadata()?;
            let is_whole = found.is_file() && found.len() > 0;
            let what = if found.is_dir() { "directory" } else { "file" };
            synced.borrow_mut().push((what, is_whole, files.database().exists()));
            file.sync_all()
        };
        files.create_durably(StoreMode::Mock, sync).unwrap();
        assert_eq!(synced.into_inner(), [("file", true, false), ("directory", false, true)]);
    }

    #[test]
    fn a_bare_name_is_a_file_of_the_working_directory() {
        let found = DatabaseFile::find(Path::new("no-such-store.db")).unwrap();
        let here = std::env::current_dir().unwrap().canonicalize().unwrap();
        assert_eq!(found.database(), here.join("no-such-store.db"));
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_not_taken_for_a_missing_one() {
        let path = Path::new("/dev/null/paygate.db");
        let file = DatabaseFile { database: path.to_owned() };
        assert_eq!(file.is_store().unwrap_err().kind, StoreErrorKind::Unavailable);
        assert!(DatabaseFile::find(path).is_err());
        assert!(remove_if_there(path).is_err() && make_private(path).is_err());
        let (_home, files) = files();
        let missing = files.database();
        assert!(!files.is_store().unwrap());
        assert!(remove_if_there(missing).is_ok() && make_private(missing).is_ok());
    }

    #[test]
    fn a_replaced_database_keeps_its_log_under_its_new_name() {
        let (_home, files) = files();
        let write = |suffix: &str| fs::write(files.beside(suffix), suffix).unwrap();
        let read = |path: PathBuf| fs::read_to_string(path).unwrap();
        write("-new");
        assert_eq!(files.replace(&files.beside("-new"), Millis(6)).unwrap(), None);
        ["-wal", "-shm", "-new"].iter().for_each(|suffix| write(suffix));
        let kept = files.replace(&files.beside("-new"), Millis(7)).unwrap();
        assert_eq!(kept, Some(files.beside("-before-7")));
        assert_eq!(read(files.beside("-before-7-wal")), "-wal");
        assert_eq!(read(files.database().to_owned()), "-new");
        assert!(!files.beside("-wal").exists() && !files.beside("-shm").exists());
        ["-wal", "-new"].iter().for_each(|suffix| write(suffix));
        fs::create_dir(files.beside("-before-8-wal")).unwrap();
        assert!(files.replace(&files.beside("-new"), Millis(8)).is_err(), "the log is in its way");
    }

    #[test]
    fn a_store_that_the_disk_does_not_take_gets_no_name() {
        let (_home, files) = files();
        let failed = files.create_durably(StoreMode::Mock, |_| Err(io::Error::other("full")));
        assert!(failed.is_err() && !files.database().exists());
        files.create(StoreMode::Mock).unwrap();
        assert!(files.is_there().unwrap(), "the next start makes it");
    }
}
