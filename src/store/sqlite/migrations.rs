//! What brings the database of an earlier paygate up to date: a numbered list, applied in order.
//!
//! To add a migration:
//!
//! 1. Change `TABLES` in `schema.rs`, which a new store gets, and raise `VERSION` there.
//! 2. Add the step to the end of [`MIGRATIONS`]. A step that was published stays as it is. A test
//!    compares the tables of a migrated store with those of a new one.
//! 3. Decide whether a paygate of the version before may open the migrated store: it names every
//!    column that it reads and writes, so that a new table, or a column that has a default, does
//!    not disturb it. If it may not, raise `COMPATIBLE_FROM` in `schema.rs` as well.
//!
//! A record's own versions are migrated in `domain/order/record/migrations.rs`, whoever reads it.
//! Where its version was raised, the step calls [`rewrite_records`], so that a store is of one
//! version.

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::schema::{COMPATIBLE_FROM, VERSION, version};
use crate::domain::order::record::{decode_record, encode_record};

/// One step for each version: it turns the tables of the version before into its own.
const MIGRATIONS: [TableMigration; 5] = [
    TableMigration { to: 2, apply: to_2 },
    TableMigration { to: 3, apply: to_3 },
    TableMigration { to: 4, apply: to_4 },
    TableMigration { to: 5, apply: to_5 },
    TableMigration { to: 6, apply: to_6 },
];

const _: () = assert!(MIGRATIONS[MIGRATIONS.len() - 1].to == VERSION);

struct TableMigration {
    /// The version of the tables that it makes.
    to: i32,
    apply: fn(&Connection) -> rusqlite::Result<()>,
}

/// Brings the tables of an earlier version up to this one's, all steps in one transaction. `check`
/// finds out whether every statement has what it needs; when it fails, nothing is kept.
pub(super) fn migrate(
    connection: &Connection,
    check: impl Fn(&Connection) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let stored = version(connection)?;
    if stored >= VERSION {
        return check(connection);
    }
    tracing::info!(
        from = stored,
        to = VERSION,
        "paygate brings the store's tables up to date, and serves nothing before that is done"
    );
    let immediate = TransactionBehavior::Immediate;
    let transaction = Transaction::new_unchecked(connection, immediate)?;
    for migration in MIGRATIONS.iter().filter(|migration| migration.to > stored) {
        (migration.apply)(&transaction)?;
    }
    transaction.pragma_update(None, "user_version", VERSION)?;
    let mark = "UPDATE meta SET compatible_from = ?1, marked_version = ?2";
    transaction.execute(mark, [COMPATIBLE_FROM, VERSION])?;
    check(&transaction)?;
    transaction.commit()?;
    tracing::info!(from = stored, to = VERSION, "paygate brought the store's tables up to date");
    Ok(())
}

/// A payment may belong to no order, and its event is sent all the same: `outbox` names its number
/// itself. `meta.restored_ms` is when the store was restored from a copy, if ever.
fn to_2(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(TO_2)
}

/// Columns and records get the names that the record of version 2 has.
fn to_3(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(TO_3)?;
    rewrite_records(connection)
}

/// Events are found by their type, and a write-ahead log that is not the database's is noticed. The
/// version before reads and writes these tables as well.
fn to_4(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(TO_4)
}

/// Transactions are counted, so that a lost write-ahead log is noticed. The version before reads
/// and writes these tables as well.
fn to_5(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("ALTER TABLE meta ADD COLUMN commits INTEGER NOT NULL DEFAULT 0")
}

/// The accounts that the orders of each merchant belong to. The version before reads and writes
/// these tables as well, and notes no account. A record that cannot be read has none.
fn to_6(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(TO_6)
}

const TO_2: &str = "
CREATE TABLE unmatched (
    provider       TEXT NOT NULL,
    pid            TEXT NOT NULL,
    transaction_id TEXT NOT NULL,
    account        TEXT NOT NULL,    -- the merchant's, at the provider
    channel_no     TEXT NOT NULL,    -- the order's number, as the provider reports it
    total_fee      INTEGER NOT NULL, -- fen
    currency       TEXT,             -- if it is not CNY
    paid_ms        INTEGER,          -- if the provider reports it
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

const TO_6: &str = "
CREATE TABLE accounts (
    pid         TEXT NOT NULL,
    api_version TEXT NOT NULL,
    account     TEXT NOT NULL,
    PRIMARY KEY (pid, api_version, account)
) STRICT, WITHOUT ROWID;
INSERT INTO accounts
    SELECT DISTINCT pid, json_extract(attempt, '$.account.api_version'),
        json_extract(attempt, '$.account.id')
    FROM (
        SELECT pid, CASE listed.type WHEN 'object' THEN listed.value ELSE '{}' END AS attempt
        FROM orders,
            json_each(CASE WHEN json_valid(record) THEN record ELSE '{}' END, '$.attempts') listed
    )
    WHERE typeof(json_extract(attempt, '$.account.api_version')) = 'text'
        AND typeof(json_extract(attempt, '$.account.id')) = 'text';
";

const TO_3: &str = "
ALTER TABLE meta ADD COLUMN compatible_from INTEGER;
ALTER TABLE meta ADD COLUMN marked_version INTEGER;

ALTER TABLE attempts RENAME COLUMN n TO attempt_no;
ALTER TABLE attempts RENAME COLUMN asked_ms TO last_queried_ms;
UPDATE attempts SET state = CASE state
    WHEN 'unsent' THEN 'not_sent'
    WHEN 'ambiguous' THEN 'outcome_unknown'
    WHEN 'absent' THEN 'not_found'
    WHEN 'taken' THEN 'number_in_use'
    WHEN 'live' THEN 'payable'
END WHERE state IN ('unsent', 'ambiguous', 'absent', 'taken', 'live');

ALTER TABLE payments RENAME COLUMN attempt TO attempt_no;

ALTER TABLE refunds RENAME COLUMN asked_ms TO requested_ms;

ALTER TABLE unmatched RENAME COLUMN known_ms TO discovered_ms;
DROP INDEX unmatched_known;
CREATE INDEX unmatched_discovered ON unmatched (discovered_ms, provider, pid, transaction_id);
";

const TO_4: &str = "
CREATE INDEX outbox_due_by_type ON outbox (state, event, type, next_ms, id);

ALTER TABLE meta ADD COLUMN log_id INTEGER;
ALTER TABLE meta ADD COLUMN log_before INTEGER;
";

/// Orders that are in memory at once while their records are rewritten.
const BATCH: i64 = 500;

/// Writes every order's record in the record's current version. One that cannot be read stays as
/// it is: every load of it fails, as before.
fn rewrite_records(connection: &Connection) -> rusqlite::Result<()> {
    let mut select =
        connection.prepare("SELECT id, record FROM orders WHERE id > ?1 ORDER BY id LIMIT ?2")?;
    let mut update = connection.prepare("UPDATE orders SET record = ?2 WHERE id = ?1")?;
    let mut last = i64::MIN;
    loop {
        let rows = select.query_map(params![last, BATCH], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let rows: Vec<(i64, String)> = rows.collect::<rusqlite::Result<_>>()?;
        let Some((id, _)) = rows.last() else { return Ok(()) };
        last = *id;
        for (id, record) in &rows {
            match decode_record(record) {
                Ok(order) => _ = update.execute(params![id, encode_record(&order)])?,
                Err(error) => {
                    tracing::warn!(row = id, %error, "the migration left an order as it was");
                }
            }
        }
    }
}
