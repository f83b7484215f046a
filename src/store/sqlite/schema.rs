//! The tables, and whether a database is ours to open.

use std::path::Path;

use rusqlite::{Connection, params};

use super::log::{APPLICATION_ID, Identity, has_meta};
use super::{failure, log};
use crate::domain::time::Millis;
use crate::store::{StoreError, StoreErrorKind, StoreMode};

/// The version of the tables that this program reads and writes.
pub(super) const VERSION: i32 = 6;

/// The earliest version of the tables whose programs may open a store of [`VERSION`].
pub(super) const COMPATIBLE_FROM: i32 = 3;

/// The tables of a new store. `record` is the order, whole; the other columns and tables serve
/// queries, uniqueness and operators. One transaction writes all of an order's rows.
const TABLES: &str = "
CREATE TABLE meta (
    one             INTEGER PRIMARY KEY CHECK (one = 1),
    mode            TEXT NOT NULL CHECK (mode IN ('live', 'mock')),
    fence           INTEGER NOT NULL, -- every opening raises it: an earlier owner commits no more
    probes          INTEGER NOT NULL, -- every check whether the disk takes a write raises it
    restored_ms     INTEGER,          -- when the store was restored from a copy, if ever
    compatible_from INTEGER,          -- a paygate that knows tables of this version may open it
    marked_version  INTEGER,          -- the version of the tables that compatible_from is about
    log_id          INTEGER,          -- of the write-ahead log, random: every new log has another
    log_before      INTEGER,          -- the log_id before that
    commits         INTEGER NOT NULL DEFAULT 0 -- the transactions that were written: see lock.rs
) STRICT;

CREATE TABLE orders (
    id           INTEGER PRIMARY KEY,
    out_trade_no TEXT NOT NULL UNIQUE,
    version      INTEGER NOT NULL,
    status       INTEGER NOT NULL, -- -1 closed, 0 unpaid, 1 paid, 2 partly refunded, 3 refunded
    pid          TEXT NOT NULL,
    type         TEXT NOT NULL,
    user_id      TEXT,
    total_fee    INTEGER NOT NULL, -- fen
    created_ms   INTEGER NOT NULL, -- milliseconds since 1970, as every _ms
    due_ms       INTEGER,          -- when to query a provider about it without a request
    record       TEXT NOT NULL     -- JSON
) STRICT;
CREATE INDEX orders_due ON orders (due_ms) WHERE due_ms IS NOT NULL;

CREATE TABLE accounts (
    pid         TEXT NOT NULL,
    api_version TEXT NOT NULL, -- wxpay_v3, wxpay_v2, alipay
    account     TEXT NOT NULL, -- the merchant's number at WeChat Pay, the app's at Alipay
    PRIMARY KEY (pid, api_version, account)
) STRICT, WITHOUT ROWID;

CREATE TABLE attempts (
    order_id        INTEGER NOT NULL REFERENCES orders (id),
    attempt_no      INTEGER NOT NULL,
    provider        TEXT NOT NULL,
    pid             TEXT NOT NULL,
    pay_type        TEXT NOT NULL,
    channel_no      TEXT NOT NULL,
    state           TEXT NOT NULL,
    opened_ms       INTEGER NOT NULL,
    expires_ms      INTEGER NOT NULL,
    last_queried_ms INTEGER,
    superseded      INTEGER NOT NULL,
    PRIMARY KEY (order_id, attempt_no)
) STRICT, WITHOUT ROWID;

CREATE TABLE channel_numbers (
    provider   TEXT NOT NULL,
    pid        TEXT NOT NULL,
    channel_no TEXT NOT NULL,
    order_id   INTEGER NOT NULL REFERENCES orders (id),
    PRIMARY KEY (provider, pid, channel_no)
) STRICT, WITHOUT ROWID;

CREATE TABLE payments (
    order_id       INTEGER NOT NULL REFERENCES orders (id),
    transaction_id TEXT NOT NULL,
    attempt_no     INTEGER NOT NULL,
    total_fee      INTEGER NOT NULL, -- fen
    paid_ms        INTEGER NOT NULL,
    role           TEXT NOT NULL,    -- winning, duplicate, late, mismatch
    PRIMARY KEY (order_id, transaction_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX payments_transaction ON payments (transaction_id);

CREATE TABLE refunds (
    pid            TEXT NOT NULL,
    out_refund_no  TEXT NOT NULL,
    order_id       INTEGER NOT NULL REFERENCES orders (id),
    transaction_id TEXT NOT NULL,
    refund_id      TEXT,
    refund_fee     INTEGER NOT NULL, -- fen
    state          TEXT NOT NULL,    -- PROCESSING, SUCCESS, ABNORMAL, CLOSED
    requested_ms   INTEGER NOT NULL,
    PRIMARY KEY (pid, out_refund_no)
) STRICT, WITHOUT ROWID;

CREATE TABLE unmatched (
    provider       TEXT NOT NULL,
    pid            TEXT NOT NULL,
    transaction_id TEXT NOT NULL,
    account        TEXT NOT NULL,    -- the merchant's, at the provider
    channel_no     TEXT NOT NULL,    -- the order's number in the provider's message
    total_fee      INTEGER NOT NULL, -- fen
    currency       TEXT,             -- if it is not CNY
    paid_ms        INTEGER,          -- if the provider reports it
    discovered_ms  INTEGER NOT NULL,
    message        TEXT NOT NULL,    -- JSON, the provider's
    PRIMARY KEY (provider, pid, transaction_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX unmatched_discovered ON unmatched (discovered_ms, provider, pid, transaction_id);

CREATE TABLE outbox (
    id           TEXT PRIMARY KEY,
    order_id     INTEGER REFERENCES orders (id), -- none for a payment of no order
    out_trade_no TEXT NOT NULL,
    event        TEXT NOT NULL,
    type         TEXT NOT NULL,    -- the order's
    body         TEXT NOT NULL,    -- JSON, byte for byte what the shop is sent
    created_ms   INTEGER NOT NULL,
    state        TEXT NOT NULL,    -- pending, accepted, parked
    tries        INTEGER NOT NULL,
    next_ms      INTEGER NOT NULL
) STRICT;
CREATE INDEX outbox_due ON outbox (state, next_ms, id);
CREATE INDEX outbox_due_by_type ON outbox (state, event, type, next_ms, id);
";

/// Lays the tables down in an empty database.
pub(super) fn create(connection: &Connection, mode: StoreMode) -> rusqlite::Result<()> {
    // Without a journal: the file is nobody's until it is whole and gets its name.
    connection.execute_batch("PRAGMA journal_mode = OFF; BEGIN;")?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", VERSION)?;
    connection.execute_batch(TABLES)?;
    let meta = "INSERT INTO meta (one, mode, fence, probes, compatible_from, marked_version)
        VALUES (1, ?1, 0, 0, ?2, ?3)";
    connection.execute(meta, params![mode.name(), COMPATIBLE_FROM, VERSION])?;
    log::mark_store(connection)?;
    connection.execute_batch("COMMIT")
}

/// The version of the tables in the database.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<i32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Whether this program, in this mode, may own the database. Reads only.
pub(super) fn judge(
    connection: &Connection,
    path: &Path,
    mode: StoreMode,
) -> Result<(), StoreError> {
    let failed = |error| failure::opening(path, &error);
    let path = path.display();
    let version = version(connection).map_err(failed)?;
    if version > VERSION && !is_compatible(connection, version) {
        let message = format!(
            "{path} was written by a newer paygate (tables {version}, this one knows {VERSION}): \
             start that version, or restore the copy made before the upgrade"
        );
        return Err(StoreError::new(StoreErrorKind::Newer, message));
    }
    if version < 1 {
        return Err(failure::corrupt(path, "its version is none that paygate ever wrote"));
    }
    let stored: String =
        connection.query_row("SELECT mode FROM meta", [], |row| row.get(0)).map_err(failed)?;
    if stored != mode.name() {
        let wanted = mode.name();
        let message = format!(
            "{path} belongs to {stored} mode and was opened in {wanted} mode: set \
             PAYGATE_MODE={stored}, or name another file in PAYGATE_STORE"
        );
        return Err(StoreError::new(StoreErrorKind::OtherMode, message));
    }
    Ok(())
}

/// Whether the newer paygate that made the tables of `version` marked them as tables that this
/// program may open. A mark of another version says nothing about them.
fn is_compatible(connection: &Connection, version: i32) -> bool {
    let mark = "SELECT compatible_from FROM meta WHERE marked_version = ?1";
    let from = connection.query_row(mark, [version], |row| row.get(0));
    from.is_ok_and(|from: i32| from <= VERSION)
}

/// Whether the store lost some of the `noted` transactions that its owners wrote. A copy that was
/// put there lost none.
pub(super) fn lost_commits(connection: &Connection, noted: i64) -> rusqlite::Result<bool> {
    if !has_meta(connection, "commits")? {
        return Ok(false);
    }
    let is_copy = Identity::of(connection)?.is_some_and(|found| found.is_copy());
    Ok(!is_copy && commits(connection)? < noted)
}

fn commits(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT commits FROM meta", [], |row| row.get(0))
}

/// What an owner has to know of its database.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ownership {
    /// No other process raised it since.
    pub(super) fence: i64,
    /// How many transactions were written before.
    pub(super) commits: i64,
    /// Whether the database is a copy that was put there.
    pub(super) is_copy: bool,
}

/// Makes the caller the database's owner: no earlier owner can commit any more.
pub(super) fn take(connection: &Connection, now: Millis) -> rusqlite::Result<Ownership> {
    connection.execute_batch("BEGIN IMMEDIATE; UPDATE meta SET fence = fence + 1;")?;
    connection.execute_batch(log::WRITE_FIRST_PAGE)?;
    let fence = connection.query_row("SELECT fence FROM meta", [], |row| row.get(0))?;
    let is_copy = log::adopt(connection, now)?;
    let commits = commits(connection)?;
    connection.execute_batch("COMMIT")?;
    Ok(Ownership { fence, commits, is_copy })
}

/// When the store was restored from a copy, if ever.
pub(super) fn restored(connection: &Connection) -> rusqlite::Result<Option<Millis>> {
    let restored = connection.query_row("SELECT restored_ms FROM meta", [], |row| row.get(0));
    restored.map(|ms: Option<i64>| ms.map(Millis))
}
