//! The tables, and whether a database is ours to open.

use std::path::Path;

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::failure;
use crate::domain::time::Millis;
use crate::store::{StoreError, StoreErrorKind, StoreMode};

/// Marks a SQLite file as paygate's: "PayG" in ASCII, at byte 68 of the file.
pub(super) const APPLICATION_ID: i32 = 0x5061_7947;

/// The tables this program reads and writes: those of the last of [`MIGRATIONS`].
pub(super) const VERSION: i32 = 2;

/// What makes the tables of the version before into those of each version. One that was published
/// stays as it is.
const MIGRATIONS: [(i32, &str); 1] = [(2, TO_2)];

/// The tables of version 1. `record` is the order, whole; the other columns and tables are what is
/// looked up by, what must be unique, and what a person reads. All of an order's rows are written
/// in one transaction.
const TABLES_1: &str = "
CREATE TABLE meta (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    mode   TEXT NOT NULL CHECK (mode IN ('live', 'mock')),
    fence  INTEGER NOT NULL, -- raised by every opening: an earlier owner can no longer commit
    probes INTEGER NOT NULL  -- raised by every check whether the disk takes a write
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
    due_ms       INTEGER,          -- when a provider is to be asked about it unasked, if ever
    record       TEXT NOT NULL     -- JSON
) STRICT;
CREATE INDEX orders_due ON orders (due_ms) WHERE due_ms IS NOT NULL;

CREATE TABLE attempts (
    order_id   INTEGER NOT NULL REFERENCES orders (id),
    n          INTEGER NOT NULL,
    provider   TEXT NOT NULL,
    pid        TEXT NOT NULL,
    pay_type   TEXT NOT NULL,
    channel_no TEXT NOT NULL,
    state      TEXT NOT NULL,
    opened_ms  INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    asked_ms   INTEGER,
    superseded INTEGER NOT NULL,
    PRIMARY KEY (order_id, n)
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
    attempt        INTEGER NOT NULL,
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
    asked_ms       INTEGER NOT NULL,
    PRIMARY KEY (pid, out_refund_no)
) STRICT, WITHOUT ROWID;

CREATE TABLE outbox (
    id         TEXT PRIMARY KEY,
    order_id   INTEGER NOT NULL REFERENCES orders (id),
    event      TEXT NOT NULL,
    type       TEXT NOT NULL,    -- the order's
    body       TEXT NOT NULL,    -- JSON, byte for byte what the shop is sent
    created_ms INTEGER NOT NULL,
    state      TEXT NOT NULL,    -- pending, accepted, parked
    tries      INTEGER NOT NULL,
    next_ms    INTEGER NOT NULL
) STRICT;
CREATE INDEX outbox_due ON outbox (state, next_ms, id);
";

/// A payment may belong to no order, and is told all the same: `outbox` names its number itself.
/// `meta.restored_ms` is when the store was restored from a copy, if ever.
const TO_2: &str = "
CREATE TABLE unmatched (
    provider       TEXT NOT NULL,
    pid            TEXT NOT NULL,
    transaction_id TEXT NOT NULL,
    account        TEXT NOT NULL,    -- the merchant's, at the provider
    channel_no     TEXT NOT NULL,    -- the order's number, as the provider told it
    total_fee      INTEGER NOT NULL, -- fen
    currency       TEXT,             -- if it is not CNY
    paid_ms        INTEGER,          -- if the provider told it
    known_ms       INTEGER NOT NULL,
    message        TEXT NOT NULL,    -- JSON, the provider's
    PRIMARY KEY (provider, pid, transaction_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX unmatched_known ON unmatched (known_ms, provider, pid, transaction_id);

CREATE TABLE outbox_2 (
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
INSERT INTO outbox_2
    SELECT outbox.id, order_id, out_trade_no, event, outbox.type, body, outbox.created_ms, state,
        tries, next_ms
    FROM outbox LEFT JOIN orders ON orders.id = outbox.order_id;
DROP TABLE outbox;
ALTER TABLE outbox_2 RENAME TO outbox;
CREATE INDEX outbox_due ON outbox (state, next_ms, id);

ALTER TABLE meta ADD COLUMN restored_ms INTEGER;
";

/// Lays the tables down in an empty database.
pub(super) fn create(connection: &Connection, mode: StoreMode) -> rusqlite::Result<()> {
    // Without a journal: the file is nobody's until it is whole and gets its name.
    connection.execute_batch("PRAGMA journal_mode = OFF; BEGIN;")?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", VERSION)?;
    connection.execute_batch(TABLES_1)?;
    for (_, sql) in MIGRATIONS {
        connection.execute_batch(sql)?;
    }
    let meta = "INSERT INTO meta (one, mode, fence, probes) VALUES (1, ?1, 0, 0)";
    connection.execute(meta, params![mode.name()])?;
    connection.execute_batch("COMMIT")
}

/// Brings the tables of an earlier version up to this one's, each step in one transaction with
/// its number. `check` says whether every statement finds what it needs; if it fails, what it
/// was shown is not kept.
pub(super) fn migrate(
    connection: &Connection,
    check: impl Fn(&Connection) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let stored = version(connection)?;
    if stored == VERSION {
        return check(connection);
    }
    for (version, sql) in MIGRATIONS.into_iter().filter(|(version, _)| *version > stored) {
        let immediate = TransactionBehavior::Immediate;
        let transaction = Transaction::new_unchecked(connection, immediate)?;
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "user_version", version)?;
        if version == VERSION {
            check(&transaction)?;
        }
        transaction.commit()?;
    }
    tracing::info!(from = stored, to = VERSION, "the store's tables were brought up to date");
    Ok(())
}

fn version(connection: &Connection) -> rusqlite::Result<i32> {
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
    if version > VERSION {
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
        let asked = mode.name();
        let message = format!(
            "{path} belongs to {stored} mode and was opened in {asked} mode: set \
             PAYGATE_MODE={stored}, or name another file in PAYGATE_STORE"
        );
        return Err(StoreError::new(StoreErrorKind::OtherMode, message));
    }
    Ok(())
}

/// Makes the caller the database's owner and every earlier owner a stranger.
pub(super) fn raise_fence(connection: &Connection) -> rusqlite::Result<i64> {
    connection.execute_batch("BEGIN IMMEDIATE; UPDATE meta SET fence = fence + 1;")?;
    let fence = connection.query_row("SELECT fence FROM meta", [], |row| row.get(0))?;
    connection.execute_batch("COMMIT")?;
    Ok(fence)
}

/// When the store was restored from a copy, if ever.
pub(super) fn restored(connection: &Connection) -> rusqlite::Result<Option<Millis>> {
    let restored = connection.query_row("SELECT restored_ms FROM meta", [], |row| row.get(0));
    restored.map(|ms: Option<i64>| ms.map(Millis))
}
