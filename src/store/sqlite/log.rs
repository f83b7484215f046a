//! Whether a database and the write-ahead log beside it belong together.
//!
//! SQLite replays whatever log it finds. Somebody who puts a backup in the place of a store that a
//! crash left with its log would get a mixture of the two, or the store as it was before, without
//! a word. So each log has a number, `meta.log_id`. SQLite begins the log anew in a transaction
//! that finds all of the log in the database: that transaction writes a new number, too. A
//! database therefore has the number of its log, or the one before (`meta.log_before` of the log).
//! What has another one was put there.
//!
//! Copies that SQLite makes, by `.backup` and by `VACUUM INTO`, have the numbers of their source;
//! their schema cookie gives them away. A store has a high one, to which each change of the tables
//! adds one; `.backup` gives its copy that of a new file, and `VACUUM INTO` adds one. The cookie is
//! in the first page, and every log has one. A copy of `paygate backup` has [`COPY`] for a number.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Result};

use super::failure;
use crate::domain::time::Millis;
use crate::store::StoreError;

/// Marks a SQLite file as paygate's: "PayG" in ASCII, at byte 68 of the file.
pub(super) const APPLICATION_ID: i32 = 0x5061_7947;

/// The schema cookie of a store: "PayG", far above that of any copy.
const COOKIE: i64 = 0x5061_7947;

/// The `log_id` of a copy that `paygate backup` made. Those of logs are not negative.
const COPY: i64 = -1;

/// The `log_before` of a store that was a copy when it was opened.
const ADOPTED: i64 = -2;

/// Writes the database's first page, which has the cookie: a log without one would take that of any
/// database. In SQL, within a transaction.
pub(super) const WRITE_FIRST_PAGE: &str = "PRAGMA application_id = 1348565319";
const _: () = assert!(APPLICATION_ID == 1_348_565_319);

/// A random number of a log, in SQL.
const NEW_ID: &str = "(random() & 9223372036854775807)";

/// What distinguishes databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    cookie: i64,
    log_id: Option<i64>,
    log_before: Option<i64>,
}

impl Identity {
    /// That of the database of `connection`; [`None`] for one of an earlier version.
    pub(super) fn of(connection: &Connection) -> Result<Option<Identity>> {
        if !has_numbers(connection)? {
            return Ok(None);
        }
        let cookie = connection.pragma_query_value(None, "schema_version", |row| row.get(0))?;
        connection
            .query_row("SELECT log_id, log_before FROM meta", [], |row| {
                Ok(Identity { cookie, log_id: row.get(0)?, log_before: row.get(1)? })
            })
            .optional()
    }

    /// Whether the database is a copy that was never opened as a store.
    pub(super) fn is_copy(&self) -> bool {
        self.log_id.is_some_and(|id| id == COPY || self.cookie < COOKIE)
    }

    /// Whether a database that is this without its log may have the log with which it is `logged`.
    fn belongs(&self, logged: &Identity) -> bool {
        if logged.log_id.is_none() {
            return true;
        }
        if self.is_copy() {
            return logged.log_before == Some(ADOPTED);
        }
        let is_earlier = self.cookie <= logged.cookie;
        is_earlier && [logged.log_id, logged.log_before].contains(&self.log_id)
    }
}

/// Checks that the database of `connection`, at `path`, and its log belong together. `alone` is
/// the database's identity without the log, where it could be read.
pub(super) fn check(
    connection: &Connection,
    alone: Option<Identity>,
    path: &Path,
) -> std::result::Result<(), StoreError> {
    match (alone, Identity::of(connection)) {
        (Some(alone), Ok(Some(logged))) if !alone.belongs(&logged) => {
            Err(failure::foreign_log(path))
        }
        // The pages of the two make no table.
        (Some(alone), Err(_)) if alone.is_copy() => Err(failure::foreign_log(path)),
        (_, Err(error)) => Err(failure::opening(path, &error)),
        (_, Ok(_)) => Ok(()),
    }
}

fn has_numbers(connection: &Connection) -> Result<bool> {
    has_meta(connection, "log_id")
}

/// Whether `meta` has this column: an earlier version's has fewer.
pub(super) fn has_meta(connection: &Connection, column: &str) -> Result<bool> {
    let found = "SELECT 1 FROM pragma_table_info('meta') WHERE name = ?1";
    Ok(connection.query_row(found, [column], |_| Ok(())).optional()?.is_some())
}

/// Gives the database of `connection`, whose tables are of this version, a number and the cookie
/// of a store: within a transaction. When it is a copy, it is a restored store from `now` on.
/// Whether it is one.
pub(super) fn adopt(connection: &Connection, now: Millis) -> Result<bool> {
    let Some(found) = Identity::of(connection)? else { return Ok(false) };
    let is_copy = found.is_copy();
    if is_copy {
        mark_restored(connection, now)?;
        connection.execute("UPDATE meta SET log_before = ?1", [ADOPTED])?;
    } else if found.log_id.is_none() {
        mark_store(connection)?;
    }
    Ok(is_copy)
}

/// Marks a store as restored at `now`: within a transaction.
pub(super) fn mark_restored(connection: &Connection, now: Millis) -> Result<()> {
    connection.execute("UPDATE meta SET restored_ms = ?1", [now.0])?;
    mark_store(connection)
}

/// Gives the database the number and the cookie of a store: within a transaction.
pub(super) fn mark_store(connection: &Connection) -> Result<()> {
    connection.execute_batch(&format!("UPDATE meta SET log_id = {NEW_ID}, log_before = NULL"))?;
    connection.pragma_update(None, "schema_version", COOKIE)
}

/// Marks the database as a copy, where its tables have room for that.
pub(super) fn mark_copy(connection: &Connection) -> Result<()> {
    match has_numbers(connection)? {
        true => connection.execute("UPDATE meta SET log_id = ?1", [COPY]).map(drop),
        false => Ok(()),
    }
}

/// The statement that gives a log its number.
pub(super) fn begin() -> String {
    format!("UPDATE meta SET log_before = log_id, log_id = {NEW_ID}")
}

/// Notices when SQLite begins the write-ahead log anew.
#[derive(Debug)]
pub(super) struct LogWatch {
    file: File,
    index: File,
    salts: [u8; 8],
}

impl LogWatch {
    /// Watches the log at `path` and its `index`, from what they are now.
    pub(super) fn open(path: &Path, index: &Path) -> io::Result<LogWatch> {
        let mut file = File::open(path)?;
        let salts = read_salts(&mut file)?;
        Ok(LogWatch { file, index: File::open(index)?, salts })
    }

    /// Whether the write transaction that is open may begin the log anew: all of the log was in the
    /// database when it started. Another program may have put it there since; the transaction's
    /// number does no harm then.
    pub(super) fn may_begin(&mut self) -> io::Result<bool> {
        // <https://www.sqlite.org/walformat.html>, 2.1: `mxFrame` and `nBackfill`.
        let mut header = [0; 100];
        self.index.seek(SeekFrom::Start(0))?;
        self.index.read_exact(&mut header)?;
        Ok(header[16..20] == header[96..100])
    }

    /// Whether the log was begun since the last call.
    pub(super) fn was_begun(&mut self) -> io::Result<bool> {
        let salts = read_salts(&mut self.file)?;
        Ok(std::mem::replace(&mut self.salts, salts) != salts)
    }
}

/// The numbers in the log's header that SQLite changes when it begins the log anew
/// (<https://www.sqlite.org/fileformat2.html>, "WAL file format"); zeros for an empty log.
fn read_salts(file: &mut File) -> io::Result<[u8; 8]> {
    let mut salts = [0; 8];
    file.seek(SeekFrom::Start(16))?;
    match file.read_exact(&mut salts) {
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(error),
        Err(_) => Ok([0; 8]),
        Ok(()) => Ok(salts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_whose_log_spoils_its_tables_is_beside_a_foreign_log_and_a_store_is_damaged() {
        let spoiled = Connection::open_in_memory().unwrap();
        spoiled.execute_batch("CREATE TABLE meta (log_id INTEGER)").unwrap();
        let path = Path::new("paygate.db");
        let refusal = |log_id| {
            let alone = Identity { cookie: COOKIE, log_id: Some(log_id), log_before: None };
            check(&spoiled, Some(alone), path).unwrap_err()
        };
        assert_eq!(refusal(COPY), failure::foreign_log(path));
        assert_ne!(refusal(7), failure::foreign_log(path));
    }

    #[test]
    fn a_log_that_cannot_be_read_is_not_taken_for_an_empty_one() {
        let home = tempfile::tempdir().unwrap();
        let empty = home.path().join("p.db-wal");
        File::create(&empty).unwrap();
        assert!(LogWatch::open(&empty, &empty).is_ok());
        assert!(LogWatch::open(home.path(), &empty).is_err());
    }
}
