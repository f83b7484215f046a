//! Copies of a store: `paygate backup` and `paygate restore`.
//!
//! A copy is made by one statement, `VACUUM INTO`: it reads one moment of the store, however much
//! is written meanwhile, and waits for no writer. It reads every row, so that it fails where the
//! store is damaged. A file gets its name when it is whole and on the disk.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::files::{DatabaseFile, open_for_writing, remove_if_there, sync_directory};
use super::opening::{BUSY, check_statements};
use super::private::make_private_file;
use super::{failure, log, migrations, schema};
use crate::domain::ids::Pid;
use crate::domain::time::Millis;
use crate::store::{Backup, KnownAccounts, Restored, StoreError, StoreMode, StoredAccount};

/// Copies the store at `store`, which may be in use, to the new file `target`.
pub(crate) fn back_up(store: &Path, target: &Path) -> Result<Backup, StoreError> {
    let file = DatabaseFile::find(store)?;
    if !file.is_there()? {
        return Err(failure::unavailable(store.display(), "is not there: name the store"));
    }
    let target = DatabaseFile::find(target)?;
    if target.database().exists() {
        let why = "is there already, and no backup replaces a file: name a new one";
        return Err(failure::unavailable(target.database().display(), why));
    }
    let copied = file.open_without_writing(BUSY)?;
    check_own_log(&file, &copied)?;
    let new = target.beside("-new");
    let orders = copy(&copied, file.database(), &new, log::mark_copy)?;
    let named = fs::rename(&new, target.database());
    named
        .and_then(|()| sync_directory(target.database(), File::sync_all))
        .map_err(|error| failure::refused(target.database(), &error))?;
    Ok(Backup { orders })
}

/// Puts the copy at `copied` in the place of the store at `store`, which no process holds.
pub(crate) fn restore(
    store: &Path,
    mode: StoreMode,
    copied: &Path,
    now: Millis,
) -> Result<Restored, StoreError> {
    let (file, source) = (DatabaseFile::find(store)?, DatabaseFile::find(copied)?);
    if file.database() == source.database() {
        let why = "is the store itself: name its copy";
        return Err(failure::unavailable(source.database().display(), why));
    }
    let lock = file.lock()?;
    if !source.is_store()? {
        return Err(failure::unavailable(copied.display(), "is not there: name a copy"));
    }
    let connection = source.open_without_writing(BUSY)?;
    check_own_log(&source, &connection)?;
    schema::judge(&connection, source.database(), mode)?;
    let new = file.beside("-new");
    let orders = copy(&connection, source.database(), &new, |copy| {
        migrations::migrate(copy, check_statements)?;
        let immediate = TransactionBehavior::Immediate;
        let transaction = rusqlite::Transaction::new_unchecked(copy, immediate)?;
        log::mark_restored(&transaction, now)?;
        transaction.commit()
    })?;
    let replaced = lock.forget_commits().and_then(|()| file.replace(&new, now));
    let replaced = replaced.map_err(|error| failure::refused(&new, &error))?;
    Ok(Restored { orders, replaced })
}

/// Checks whether the store at `store` can be opened in `mode`, if it is there, or made. It makes
/// no file and changes nothing of the store; another process may hold it.
///
/// Its accounts are unknown where an earlier paygate wrote its tables, until this one opens it.
pub(crate) fn check(store: &Path, mode: StoreMode) -> Result<KnownAccounts, StoreError> {
    let file = DatabaseFile::find(store)?;
    // Taking the lock would make its file. The store of another process is that one's to judge.
    let lock = file.beside("-lock").exists().then(|| file.lock()).transpose();
    let noted = match lock {
        Ok(lock) => lock.map_or(0, |lock| lock.noted_commits()),
        Err(held) if held.is_held() => 0,
        Err(error) => return Err(error),
    };
    match file.is_there()? {
        false if noted > 0 => return Err(failure::missing(file.database())),
        false => return Ok(KnownAccounts::Listed(Vec::new())),
        true => {}
    }
    let alone = (!file.beside("-wal").exists()).then(|| file.open_alone()).flatten();
    let connection = match alone {
        Some(alone) => alone,
        None => file.open_without_writing(BUSY)?,
    };
    check_own_log(&file, &connection)?;
    schema::judge(&connection, file.database(), mode)?;
    match schema::lost_commits(&connection, noted) {
        Ok(false) => accounts(&connection),
        Ok(true) => return Err(failure::lost_commits(file.database())),
        Err(error) => Err(error),
    }
    .map_err(|error| failure::opening(file.database(), &error))
}

/// The accounts that the store's orders belong to.
fn accounts(connection: &Connection) -> rusqlite::Result<KnownAccounts> {
    if schema::version(connection)? < ACCOUNTS_SINCE {
        return Ok(KnownAccounts::Unlisted);
    }
    let mut statement = connection.prepare(ACCOUNTS)?;
    let account = |row: &rusqlite::Row<'_>| {
        let (pid, api_version, id): (String, String, String) =
            (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(StoredAccount { pid: Pid::new(&pid), api_version, id })
    };
    let rows = statement.query_map([], account)?;
    rows.collect::<rusqlite::Result<_>>().map(KnownAccounts::Listed)
}

/// The first version of the tables that lists them.
const ACCOUNTS_SINCE: i32 = 6;

/// A row for each account of each merchant, however many orders it has.
const ACCOUNTS: &str = "
SELECT pid, api_version, account FROM accounts ORDER BY pid, api_version, account";

/// A store that a crash left must not be copied with another's log. While a process owns the
/// store, its log is its own.
fn check_own_log(file: &DatabaseFile, connection: &Connection) -> Result<(), StoreError> {
    match log::check(connection, file.identity_alone(), file.database()) {
        Err(foreign) if file.lock().is_ok() => Err(foreign),
        _ => Ok(()),
    }
}

/// Copies the database of `connection` at `path` to the new file `new`, lets `finish` change it,
/// and makes it durable. Returns the orders in it.
fn copy(
    connection: &Connection,
    path: &Path,
    new: &Path,
    finish: impl Fn(&Connection) -> rusqlite::Result<()>,
) -> Result<u64, StoreError> {
    let refused = |error: io::Error| failure::refused(new, &error);
    remove_if_there(new).map_err(refused)?;
    let made = write_copy(connection, path, new, finish);
    if made.is_err() {
        // What is left of it is no copy.
        drop(fs::remove_file(new));
    }
    made
}

fn write_copy(
    connection: &Connection,
    path: &Path,
    new: &Path,
    finish: impl Fn(&Connection) -> rusqlite::Result<()>,
) -> Result<u64, StoreError> {
    let refused = |error: io::Error| failure::refused(new, &error);
    let file = make_private_file(new).map_err(refused)?;
    let failed = |error: rusqlite::Error| failure::copying(path, new, &error);
    // SQLite takes a path that is no UTF-8, too, but rusqlite gives it none as a parameter.
    let name = new
        .to_str()
        .ok_or_else(|| failure::unavailable(new.display(), "is no UTF-8: name a file that is"))?;
    connection.execute("VACUUM INTO ?1", [name]).map_err(failed)?;
    let copy = open_for_writing(new).map_err(failed)?;
    finish(&copy).map_err(failed)?;
    let check: String =
        copy.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(failed)?;
    if check != "ok" {
        return Err(failure::corrupt(path.display(), check));
    }
    let count = "SELECT count(*) FROM orders";
    let orders: i64 = copy.query_row(count, [], |row| row.get(0)).map_err(failed)?;
    copy.close().map_err(|(_, error)| failed(error))?;
    file.sync_all().map_err(refused)?;
    Ok(u64::try_from(orders).unwrap_or_default())
}
