//! What goes wrong with a database, in words for the operator.

use std::fmt::Display;
use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rusqlite::{ErrorCode, ffi};

use crate::domain::order::record::RECORD_VERSION;
use crate::store::{StoreError, StoreErrorKind};

/// The first failed write of an opening: after it, the store does nothing any more.
pub(super) type FirstFailure = Arc<OnceLock<StoreError>>;

/// `path` cannot be used as it is, but nothing is wrong with what it holds.
pub(super) fn unavailable(path: impl Display, why: impl Display) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, format!("{path} {why}"))
}

/// The operating system refused.
pub(super) fn refused(path: &Path, error: &io::Error) -> StoreError {
    let remedy = match error.kind() {
        io::ErrorKind::PermissionDenied => "let paygate's user own the file and its directory",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room on its disk",
        io::ErrorKind::ReadOnlyFilesystem => "mount its disk so that it can be written",
        _ => "check the file, its directory and its disk",
    };
    let why = format!("cannot be used ({error}): {remedy}");
    unavailable(path.display(), why)
}

/// `path` is damaged or another program's.
pub(super) fn corrupt(path: impl Display, why: impl Display) -> StoreError {
    let message = format!(
        "{path} is damaged, or no paygate store: {why}. It was left as it is. Restore its last \
         copy, or name another file; do not start with an empty one while orders may be unpaid, \
         since providers remember every number"
    );
    StoreError::new(StoreErrorKind::Corrupt, message)
}

/// A newer paygate wrote an order's record in a version that this program cannot read.
pub(super) fn newer_record(path: &Path, version: u32) -> StoreError {
    let message = format!(
        "{} holds an order that a newer paygate wrote (record {version}, this one knows \
         {RECORD_VERSION}). The order was left as it is: start the newer version again to serve it",
        path.display()
    );
    StoreError::new(StoreErrorKind::Newer, message)
}

/// SQLite failed while the database was being opened: nothing of an order was touched.
pub(super) fn opening(path: &Path, error: &rusqlite::Error) -> StoreError {
    let path = path.display();
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            unavailable(path, "is being written by another program: end that, and start again")
        }
        Some(
            ErrorCode::CannotOpen
            | ErrorCode::ReadOnly
            | ErrorCode::PermissionDenied
            | ErrorCode::SystemIoFailure
            | ErrorCode::DiskFull
            | ErrorCode::OutOfMemory
            | ErrorCode::FileLockingProtocolFailed,
        ) => {
            let why = format!("cannot be used ({error}): check the disk, its space and its rights");
            unavailable(path, why)
        }
        _ => corrupt(path, error),
    }
}

/// `path` is not the file any more that the store was opened with.
pub(super) fn replaced(path: &Path) -> StoreError {
    let message = format!(
        "{} was removed or replaced while paygate ran, so nothing more is accepted, and what was \
         written since is lost: stop paygate, put the database and its -wal back, or its last \
         copy, and start again. Do not start with an empty store while orders may be unpaid",
        path.display()
    );
    StoreError::new(StoreErrorKind::Io, message)
}

/// The store at `path` has fewer transactions than its lock file has noted.
pub(super) fn lost_commits(path: &Path) -> StoreError {
    let path = path.display();
    let message = format!(
        "{path} lacks orders that paygate wrote: {path}-wal was removed or damaged, or an older \
         database was put in its place. Everything was left as it is. Put back what belongs \
         together. If it is lost, or you want the older database, move {path} and its -wal to \
         another name and run paygate restore with that: then paygate takes every order in it for \
         one that a buyer may pay"
    );
    StoreError::new(StoreErrorKind::Corrupt, message)
}

/// There is no database at `path`, and its lock file has noted that there was one.
pub(super) fn missing(path: &Path) -> StoreError {
    let path = path.display();
    let message = format!(
        "{path} was removed: {path}-lock knows that paygate wrote orders to it. Put it and its \
         -wal back, or restore its last copy with paygate restore. To begin with an empty store \
         remove {path}-lock, too, but not while orders may be unpaid, since providers remember \
         every number"
    );
    StoreError::new(StoreErrorKind::Corrupt, message)
}

/// `path` has a write-ahead log beside it that is not its own.
pub(super) fn foreign_log(path: &Path) -> StoreError {
    let path = path.display();
    let message = format!(
        "{path} and {path}-wal do not belong together: the one was put beside the other, and \
         SQLite would make one damaged store of the two. Both were left as they are. If {path} is \
         a copy that you want to restore, move it to another name and run paygate restore with \
         that; else put back the database to which the log belongs"
    );
    StoreError::new(StoreErrorKind::Corrupt, message)
}

/// The copy of `path` to `new` failed.
pub(super) fn copying(path: &Path, new: &Path, error: &rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            corrupt(path.display(), error)
        }
        _ => {
            let why = format!(
                "could not be copied to {} ({error}): check the disk, its space and its rights",
                new.display()
            );
            unavailable(path.display(), why)
        }
    }
}

/// The write-ahead log at `path` cannot be watched: what is written may be lost.
pub(super) fn unwatched(path: &Path, error: &io::Error) -> StoreError {
    let message = format!(
        "{} could not be read ({error}), so nothing more is accepted: check the disk and its \
         health, then restart paygate",
        path.display()
    );
    StoreError::new(StoreErrorKind::Io, message)
}

/// A look-up failed.
pub(super) fn reading(path: &Path, error: &rusqlite::Error) -> StoreError {
    let path = path.display();
    if is_damage(error) {
        let message = format!(
            "{path} is damaged, or cannot be read ({error}), so nothing more is accepted: stop \
             paygate, check the disk, keep the file, and restore the last copy. Do not start with \
             an empty store while orders may be unpaid"
        );
        return StoreError::new(StoreErrorKind::Corrupt, message);
    }
    StoreError::new(StoreErrorKind::Io, format!("{path} could not be read: {error}"))
}

/// Whether a failed look-up means that the store holds something else than what was written, or
/// that some of it cannot be read: whatever is not there may be a paid order.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    !matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::OperationInterrupted
                | ErrorCode::OutOfMemory
                | ErrorCode::SchemaChanged
        )
    )
}

/// A write failed: what of it is on disk is known only after the next opening.
pub(super) fn writing(path: &Path, error: &rusqlite::Error) -> StoreError {
    let path = path.display();
    if has_no_room(error) {
        let message = format!(
            "{path} could not be written ({error}), so nothing more is accepted: make room on its \
             disk. Then paygate opens the store anew by itself"
        );
        return StoreError::new(StoreErrorKind::Full, message);
    }
    let message = format!(
        "{path} could not be written ({error}), so nothing more is accepted: check the disk, its \
         space and its health, then restart paygate"
    );
    StoreError::new(StoreErrorKind::Io, message)
}

/// Whether the disk took no more bytes: it is full, a quota is, or it is mounted read-only. It is
/// another matter when it took them and did not make them durable.
fn has_no_room(error: &rusqlite::Error) -> bool {
    const WRITES: [i32; 2] = [ffi::SQLITE_IOERR_WRITE, ffi::SQLITE_IOERR_SHMSIZE];
    let code = error.sqlite_error();
    error.sqlite_error_code() == Some(ErrorCode::DiskFull)
        || code.is_some_and(|code| WRITES.contains(&code.extended_code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sqlite(code: i32) -> rusqlite::Error {
        rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)
    }

    fn path() -> &'static Path {
        Path::new("/var/lib/paygate/paygate.db")
    }

    #[test]
    fn a_store_that_cannot_be_used_now_is_not_called_damaged() {
        for code in [
            ffi::SQLITE_BUSY,
            ffi::SQLITE_LOCKED,
            ffi::SQLITE_CANTOPEN,
            ffi::SQLITE_READONLY,
            ffi::SQLITE_PERM,
            ffi::SQLITE_IOERR,
            ffi::SQLITE_FULL,
            ffi::SQLITE_NOMEM,
            ffi::SQLITE_PROTOCOL,
        ] {
            let error = opening(path(), &sqlite(code));
            assert_eq!(error.kind, StoreErrorKind::Unavailable, "{code}: {error}");
            let is_busy = [ffi::SQLITE_BUSY, ffi::SQLITE_LOCKED].contains(&code);
            assert_eq!(error.message.contains("another program"), is_busy, "{code}: {error}");
        }
        for code in [ffi::SQLITE_CORRUPT, ffi::SQLITE_NOTADB, ffi::SQLITE_ERROR] {
            let error = opening(path(), &sqlite(code));
            assert_eq!(error.kind, StoreErrorKind::Corrupt, "{code}: {error}");
        }
    }

    #[test]
    fn a_copy_is_refused_for_the_damage_of_its_source_or_for_its_disk() {
        for (code, kind) in [
            (ffi::SQLITE_CORRUPT, StoreErrorKind::Corrupt),
            (ffi::SQLITE_NOTADB, StoreErrorKind::Corrupt),
            (ffi::SQLITE_FULL, StoreErrorKind::Unavailable),
        ] {
            let error = copying(path(), Path::new("/mnt/copy.db"), &sqlite(code));
            assert_eq!(error.kind, kind, "{code}: {error}");
        }
    }

    #[test]
    fn what_the_operating_system_refuses_has_its_remedy() {
        for (kind, remedy) in [
            (io::ErrorKind::PermissionDenied, "let paygate's user own"),
            (io::ErrorKind::StorageFull, "make room"),
            (io::ErrorKind::QuotaExceeded, "make room"),
            (io::ErrorKind::ReadOnlyFilesystem, "mount its disk"),
            (io::ErrorKind::Other, "check the file"),
        ] {
            let error = refused(path(), &io::Error::from(kind));
            assert_eq!(error.kind, StoreErrorKind::Unavailable);
            assert!(error.message.contains(remedy), "{error}");
        }
    }

    #[test]
    fn a_look_up_that_another_program_held_up_found_no_damage() {
        for code in [
            ffi::SQLITE_BUSY,
            ffi::SQLITE_LOCKED,
            ffi::SQLITE_INTERRUPT,
            ffi::SQLITE_NOMEM,
            ffi::SQLITE_SCHEMA,
        ] {
            assert_eq!(reading(path(), &sqlite(code)).kind, StoreErrorKind::Io, "{code}");
        }
        for code in [ffi::SQLITE_CORRUPT, ffi::SQLITE_IOERR, ffi::SQLITE_ERROR] {
            assert_eq!(reading(path(), &sqlite(code)).kind, StoreErrorKind::Corrupt, "{code}");
        }
    }

    #[test]
    fn only_a_disk_that_took_no_more_bytes_is_full() {
        for (code, kind) in [
            (ffi::SQLITE_FULL, StoreErrorKind::Full),
            (ffi::SQLITE_IOERR_WRITE, StoreErrorKind::Full),
            (ffi::SQLITE_IOERR_SHMSIZE, StoreErrorKind::Full),
            (ffi::SQLITE_IOERR_FSYNC, StoreErrorKind::Io),
            (ffi::SQLITE_IOERR_READ, StoreErrorKind::Io),
            (ffi::SQLITE_CORRUPT, StoreErrorKind::Io),
        ] {
            let error = writing(path(), &sqlite(code));
            assert_eq!(error.kind, kind, "{code}: {error}");
        }
    }
}
