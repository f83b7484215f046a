//! One opening of a store: from the files to the threads that serve it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::failure::{self, FirstFailure};
use super::files::{DatabaseFile, OpenedFiles};
use super::lock::StoreLock;
use super::log::{self, LogWatch};
use super::reader::{ReadStatements, Readers};
use super::rows::WriteStatements;
use super::schema::Ownership;
use super::writer::{Writer, WriterParts};
use super::{migrations, schema};
use crate::clock::{Clock, SystemClock};
use crate::domain::time::{DAY_MS, Millis};
use crate::store::{StoreError, StoreMode};

/// How long the writer waits for another program that writes to the file (a person's SQLite
/// tool) before it answers that the store is busy.
pub(super) const BUSY: Duration = Duration::from_secs(5);

/// The threads that serve a store, until one of them fails.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) writer: Writer,
    pub(super) readers: Readers,
    pub(super) failed: FirstFailure,
    /// When the store was restored from a copy, if ever.
    pub(super) restored: Option<Millis>,
    files: OpenedFiles,
}

impl Opening {
    /// Opens the store at `path`, and makes it when there is no such file.
    pub(super) fn new(path: &Path, mode: StoreMode) -> Result<Opening, StoreError> {
        let file = DatabaseFile::find(path)?;
        let lock = file.lock()?;
        if !file.is_there()? {
            if lock.noted_commits() > 0 {
                return Err(failure::missing(file.database()));
            }
            file.create(mode)?;
        }
        Opening::start(&file, lock, mode)
    }

    /// Opens the store anew after this opening failed and its threads ended: the same files, with
    /// the checks of a start.
    pub(super) fn anew(&self, mode: StoreMode) -> Result<Opening, StoreError> {
        let path = self.files.database();
        self.files.check()?;
        let file = DatabaseFile::find(path)?;
        let lock = file.lock()?;
        if !file.is_there()? {
            return Err(failure::replaced(path));
        }
        let opening = Opening::start(&file, lock, mode)?;
        // Nobody replaced them between the two checks.
        self.files.check().map(|()| opening)
    }

    fn start(file: &DatabaseFile, lock: StoreLock, mode: StoreMode) -> Result<Opening, StoreError> {
        file.restrict();
        let (connection, ownership) = own(file, mode, &lock)?;
        let restored = schema::restored(&connection);
        let restored = restored.map_err(|error| failure::opening(file.database(), &error))?;
        let is_recent = |at: &Millis| SystemClock.now().since(*at) < DAY_MS;
        if let Some(at) = restored.filter(is_recent).filter(|_| !ownership.is_copy) {
            let restored_at = at.to_rfc3339();
            tracing::warn!(
                restored_at,
                "the store was restored: it lacks what came after the copy"
            );
        }
        let failed = FirstFailure::default();
        let readers = Readers::start(file, &failed)?;
        let files = file.opened_files()?;
        let log = LogWatch::open(files.log(), &file.log_index());
        let log = log.map_err(|error| failure::refused(files.log(), &error))?;
        let (opened_files, failure) = (files.clone(), Arc::clone(&failed));
        let parts = WriterParts { connection, opened_files, log, ownership, lock, failed: failure };
        let started = Writer::start(parts);
        let writer =
            started.map_err(|error| failure::unavailable(file.database().display(), error))?;
        Ok(Opening { writer, readers, failed, restored, files })
    }

    /// The database file.
    pub(super) fn database(&self) -> &Path {
        self.files.database()
    }

    /// Returns a function that waits for the writes that were handed over, and closes the files.
    pub(super) fn stop(&self) -> impl FnOnce() + Send + use<> {
        let (readers, writer) = (self.readers.stop(), self.writer.stop());
        move || {
            // The last connection to close empties the write-ahead log: the one that may write.
            readers();
            writer();
        }
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.stop()();
    }
}

/// Opens the database, judges it, and makes this process its owner.
fn own(
    file: &DatabaseFile,
    mode: StoreMode,
    lock: &StoreLock,
) -> Result<(Connection, Ownership), StoreError> {
    let path = file.database();
    let failed = |error| failure::opening(path, &error);
    let connection = open_judged(file, mode)?;
    if schema::lost_commits(&connection, lock.noted_commits()).map_err(failed)? {
        return Err(failure::lost_commits(path));
    }
    connection.execute_batch(SETTINGS).map_err(failed)?;
    migrations::migrate(&connection, check_statements).map_err(failed)?;
    let journal: String = connection
        .pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))
        .map_err(failed)?;
    if journal != "wal" {
        let why = "takes no write-ahead log: keep the store on a local disk";
        return Err(failure::unavailable(path.display(), why));
    }
    let ownership = schema::take(&connection, SystemClock.now()).map_err(failed)?;
    lock.note_commits(ownership.commits);
    if ownership.is_copy {
        let path = path.display();
        tracing::warn!(
            %path,
            "the store is a copy: paygate takes every order in it for one that a buyer may pay"
        );
    }
    empty_log(&connection).map_err(failed)?;
    connection.set_db_config(KEEP_LOG, false).map_err(failed)?;
    Ok((connection, ownership))
}

/// Puts all of the log into the database, unless another program reads or writes it.
fn empty_log(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::ZERO)?;
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    connection.busy_timeout(BUSY)
}

/// Every table, column and index that is used, before anything is written for good.
pub(super) fn check_statements(connection: &Connection) -> rusqlite::Result<()> {
    WriteStatements::prepare(connection)?;
    ReadStatements::prepare(connection).map(drop)
}

/// Opens the database and judges it. One that is refused stays as it is: closing it does not move
/// its write-ahead log.
pub(super) fn open_judged(file: &DatabaseFile, mode: StoreMode) -> Result<Connection, StoreError> {
    let path = file.database();
    let failed = |error| failure::opening(path, &error);
    let alone = file.identity_alone();
    let connection = file.open_for_writing().map_err(failed)?;
    connection.set_db_config(KEEP_LOG, true).map_err(failed)?;
    connection.busy_timeout(BUSY).map_err(failed)?;
    log::check(&connection, alone, path)?;
    schema::judge(&connection, path, mode)?;
    Ok(connection)
}

/// Leaves the write-ahead log where it is when the connection is closed.
pub(super) const KEEP_LOG: DbConfig = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;

/// A commit is on disk when it returns (`fullfsync`: also on macOS, whose `fsync` does not wait
/// for the disk). The log shrinks back after a peak.
const SETTINGS: &str = "
PRAGMA synchronous = FULL;
PRAGMA fullfsync = ON;
PRAGMA checkpoint_fullfsync = ON;
PRAGMA temp_store = MEMORY;
PRAGMA journal_size_limit = 67108864;
";
