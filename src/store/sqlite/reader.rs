//! The threads that look up: each has a connection of its own, and none waits for the writer.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use rusqlite::{Connection, OptionalExtension, Result, Statement, params};
use tokio::sync::oneshot;

use super::failure::{self, FirstFailure};
use super::files::DatabaseFile;
use super::workers::Workers;
use crate::domain::channel::ProviderId;
use crate::domain::event::{DeliveryState, EventId, OutboxEvent};
use crate::domain::ids::{ChannelNo, OutTradeNo, Pid, TransactionId};
use crate::domain::time::Millis;
use crate::store::{StoreError, StoreErrorKind};

/// Look-ups at once. Each takes tens of microseconds; the second and third are for the one that
/// has to wait for the disk.
const READERS: usize = 3;

type Lookup = Box<dyn FnOnce(&mut ReadStatements<'_>) + Send>;

/// The way to the reading threads.
#[derive(Debug)]
pub(super) struct Readers {
    workers: Workers<Lookup>,
    path: PathBuf,
    failed: FirstFailure,
}

impl Readers {
    /// Starts the threads, and waits until each has opened every file of the store.
    pub(super) fn start(
        file: &DatabaseFile,
        failed: &FirstFailure,
    ) -> std::result::Result<Readers, StoreError> {
        let path = file.database().to_owned();
        let (workers, queue) = Workers::<Lookup>::new();
        let queue = Arc::new(Mutex::new(queue));
        let (opening, opened_all) = mpsc::channel::<()>();
        for _ in 0..READERS {
            let opened = file.open_for_reading().and_then(|connection| {
                connection.execute_batch("PRAGMA query_only = ON")?;
                Ok(connection)
            });
            let connection = opened.map_err(|error| failure::opening(&path, &error))?;
            let (queue, failed, path) = (Arc::clone(&queue), Arc::clone(failed), path.clone());
            let opening = opening.clone();
            let run = move || match ReadStatements::prepare(&connection) {
                Ok(mut statements) => {
                    drop(opening);
                    loop {
                        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                        let Ok(lookup) = next else { break };
                        lookup(&mut statements);
                    }
                }
                Err(error) => drop(failed.set(failure::reading(&path, &error))),
            };
            let started = workers.start("paygate-lookup", run);
            started.map_err(|error| failure::unavailable(file.database().display(), error))?;
        }
        drop(opening);
        // Nothing is ever sent: it ends when the last thread lets go of it.
        opened_all.iter().for_each(|()| {});
        Ok(Readers { workers, path, failed: Arc::clone(failed) })
    }

    /// Asks one of the threads.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        lookup: impl FnOnce(&mut ReadStatements<'_>) -> Result<T> + Send + 'static,
    ) -> std::result::Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.workers.send(Box::new(move |statements| {
            if !answer.is_closed() {
                drop(answer.send(lookup(statements)));
            }
        }))?;
        match answered.await {
            Ok(Err(error)) if failure::is_damage(&error) => {
                let damaged = || failure::reading(&self.path, &error);
                Err(self.failed.get_or_init(damaged).clone())
            }
            Ok(found) => found.map_err(|error| failure::reading(&self.path, &error)),
            Err(_) => {
                let message = "the store's readers ended: restart paygate";
                Err(StoreError::new(StoreErrorKind::Io, message))
            }
        }
    }

    /// Returns a function that ends the queue, and waits until every look-up is answered.
    pub(super) fn stop(&self) -> impl FnOnce() + Send + use<> {
        self.workers.stop()
    }
}

/// The statements of one reading thread.
pub(super) struct ReadStatements<'c> {
    load: Statement<'c>,
    find_channel: Statement<'c>,
    find_transaction: Statement<'c>,
    find_refund: Statement<'c>,
    due: Statement<'c>,
    outbox_next_type: Statement<'c>,
    outbox_due: Statement<'c>,
    outbox_ahead: Statement<'c>,
    outbox_list: Statement<'c>,
    outbox_find: Statement<'c>,
    unmatched: Statement<'c>,
}

impl<'c> ReadStatements<'c> {
    /// Prepares the statements; fails when a table, a column or an index is missing.
    pub(super) fn prepare(connection: &'c Connection) -> Result<ReadStatements<'c>> {
        let [by_no, by_channel, by_transaction, by_refund, due, events @ ..] =
            ReadStatements::statements().map(|sql| connection.prepare(&sql));
        let [outbox_next_type, outbox_due, outbox_ahead, events @ ..] = events;
        let [outbox_list, outbox_find, unmatched] = events;
        Ok(ReadStatements {
            load: by_no?,
            find_channel: by_channel?,
            find_transaction: by_transaction?,
            find_refund: by_refund?,
            due: due?,
            outbox_next_type: outbox_next_type?,
            outbox_due: outbox_due?,
            outbox_ahead: outbox_ahead?,
            outbox_list: outbox_list?,
            outbox_find: outbox_find?,
            unmatched: unmatched?,
        })
    }

    /// Every statement that a look-up executes.
    pub(super) fn statements() -> [String; 11] {
        [
            LOAD.to_owned(),
            FIND_CHANNEL.to_owned(),
            FIND_TRANSACTION.to_owned(),
            FIND_REFUND.to_owned(),
            DUE.to_owned(),
            OUTBOX_NEXT_TYPE.to_owned(),
            events(OUTBOX_DUE),
            events(OUTBOX_AHEAD),
            events(OUTBOX_LIST),
            events(OUTBOX_FIND),
            UNMATCHED.to_owned(),
        ]
    }

    /// The order's record.
    pub(super) fn load(&mut self, out_trade_no: &OutTradeNo) -> Result<Option<String>> {
        self.load.query_row([out_trade_no.as_str()], |row| row.get(0)).optional()
    }

    /// The number of the order that the channel number belongs to.
    pub(super) fn find_channel(
        &mut self,
        provider: ProviderId,
        pid: &Pid,
        channel_no: &ChannelNo,
    ) -> Result<Option<String>> {
        let key = params![provider.name(), pid.as_str(), channel_no.as_str()];
        self.find_channel.query_row(key, |row| row.get(0)).optional()
    }

    /// The number of the first order with a payment that has this number.
    pub(super) fn find_transaction(&mut self, id: &TransactionId) -> Result<Option<String>> {
        self.find_transaction.query_row([&id.0], |row| row.get(0)).optional()
    }

    /// The number of the order that the refund's number belongs to.
    pub(super) fn find_refund(&mut self, pid: &Pid, out_trade_no: &str) -> Result<Option<String>> {
        self.find_refund.query_row([pid.as_str(), out_trade_no], |row| row.get(0)).optional()
    }

    /// The numbers of at most `limit` orders that are due, the earliest first.
    pub(super) fn due(&mut self, now: Millis, limit: usize) -> Result<Vec<String>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.due.query_map(params![now.0, limit], |row| row.get(0))?.collect()
    }

    /// The events that are due: of each type of event about each type of order at most `limit`,
    /// and fewer where there are very many types.
    pub(super) fn outbox_due(&mut self, now: Millis, limit: usize) -> Result<Vec<EventRow>> {
        let mut types: Vec<(String, String)> = Vec::new();
        loop {
            let (event, kind) = types.last().cloned().unwrap_or_default();
            let next = self
                .outbox_next_type
                .query_row([event, kind], |row| Ok((row.get(0)?, row.get(1)?)));
            match next.optional()? {
                Some(next) => types.push(next),
                None => break,
            }
        }
        let share = EVENTS_MAX.checked_div(types.len()).unwrap_or(EVENTS_MAX).max(1);
        let limit = i64::try_from(limit.min(share)).unwrap_or(i64::MAX);
        let ahead = now.plus(OutboxEvent::WAIT_MS_MAX);
        let mut found = Vec::new();
        for (name, kind) in &types {
            let due = self.outbox_due.query_map(params![name, kind, now.0, limit], event)?;
            let mut rows: Vec<EventRow> = due.collect::<Result<_>>()?;
            let left = limit.saturating_sub(i64::try_from(rows.len()).unwrap_or(i64::MAX));
            let ahead = self.outbox_ahead.query_map(params![name, kind, ahead.0, left], event)?;
            rows.extend(ahead.collect::<Result<Vec<_>>>()?);
            found.extend(rows);
        }
        found.sort_by(|a: &EventRow, b| (a.next_ms, &a.id).cmp(&(b.next_ms, &b.id)));
        Ok(found)
    }

    /// At most `limit` events in `state`.
    pub(super) fn outbox_list(
        &mut self,
        state: DeliveryState,
        limit: usize,
    ) -> Result<Vec<EventRow>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.outbox_list.query_map(params![state.name(), limit], event)?.collect()
    }

    /// The event with this number.
    pub(super) fn outbox_find(&mut self, id: &EventId) -> Result<Option<EventRow>> {
        self.outbox_find.query_row([id.as_str()], event).optional()
    }

    /// The last `limit` payments of no order, the newest first.
    pub(super) fn unmatched(&mut self, limit: usize) -> Result<Vec<UnmatchedRow>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.unmatched.query_map(params![i64::MAX, limit], unmatched)?.collect()
    }
}

const LOAD: &str = "SELECT record FROM orders WHERE out_trade_no = ?1";

const FIND_CHANNEL: &str = "
SELECT orders.out_trade_no
FROM channel_numbers JOIN orders ON orders.id = channel_numbers.order_id
WHERE provider = ?1 AND channel_numbers.pid = ?2 AND channel_no = ?3";

const FIND_TRANSACTION: &str = "
SELECT orders.out_trade_no
FROM payments INDEXED BY payments_transaction JOIN orders ON orders.id = payments.order_id
WHERE transaction_id = ?1
ORDER BY payments.order_id LIMIT 1";

const FIND_REFUND: &str = "
SELECT orders.out_trade_no
FROM refunds JOIN orders ON orders.id = refunds.order_id
WHERE refunds.pid = ?1 AND out_refund_no = ?2";

/// `INDEXED BY` makes SQLite refuse any plan that reads the others.
const DUE: &str = "
SELECT out_trade_no FROM orders INDEXED BY orders_due
WHERE due_ms IS NOT NULL AND due_ms <= ?1
ORDER BY due_ms LIMIT ?2";

/// An event as it is stored, in the order of [`events`]' columns.
pub(super) struct EventRow {
    pub(super) id: String,
    pub(super) out_trade_no: String,
    pub(super) event: String,
    pub(super) kind: String,
    pub(super) body: String,
    pub(super) created_ms: i64,
    pub(super) state: String,
    pub(super) tries: u32,
    pub(super) next_ms: i64,
}

fn event(row: &rusqlite::Row<'_>) -> Result<EventRow> {
    Ok(EventRow {
        id: row.get(0)?,
        out_trade_no: row.get(1)?,
        event: row.get(2)?,
        kind: row.get(3)?,
        body: row.get(4)?,
        created_ms: row.get(5)?,
        state: row.get(6)?,
        tries: row.get(7)?,
        next_ms: row.get(8)?,
    })
}

fn events(wanted: &str) -> String {
    format!(
        "SELECT id, out_trade_no, event, type, body, created_ms, state, tries, next_ms \
         FROM outbox {wanted}"
    )
}

/// The events that one look-up returns, when each type has more than one.
const EVENTS_MAX: usize = 4096;

/// The next type of event, and of order, that has pending events.
const OUTBOX_NEXT_TYPE: &str = "SELECT event, type FROM outbox INDEXED BY outbox_due_by_type \
    WHERE state = 'pending' AND (event, type) > (?1, ?2) ORDER BY event, type LIMIT 1";
const OUTBOX_DUE: &str = "INDEXED BY outbox_due_by_type \
    WHERE state = 'pending' AND event = ?1 AND type = ?2 AND next_ms <= ?3 \
    ORDER BY next_ms, id LIMIT ?4";
const OUTBOX_AHEAD: &str = "INDEXED BY outbox_due_by_type \
    WHERE state = 'pending' AND event = ?1 AND type = ?2 AND next_ms > ?3 \
    ORDER BY next_ms, id LIMIT ?4";
const OUTBOX_LIST: &str = "INDEXED BY outbox_due \
    WHERE state = ?1 ORDER BY next_ms, id LIMIT ?2";
const OUTBOX_FIND: &str = "WHERE id = ?1";

/// A payment of no order as it is stored.
pub(super) struct UnmatchedRow {
    pub(super) provider: String,
    pub(super) pid: String,
    pub(super) account: String,
    pub(super) channel_no: String,
    pub(super) transaction_id: String,
    pub(super) total_fee: i64,
    pub(super) currency: Option<String>,
    pub(super) paid_ms: Option<i64>,
    pub(super) discovered_ms: i64,
    pub(super) message: String,
}

fn unmatched(row: &rusqlite::Row<'_>) -> Result<UnmatchedRow> {
    Ok(UnmatchedRow {
        provider: row.get(0)?,
        pid: row.get(1)?,
        account: row.get(2)?,
        channel_no: row.get(3)?,
        transaction_id: row.get(4)?,
        total_fee: row.get(5)?,
        currency: row.get(6)?,
        paid_ms: row.get(7)?,
        discovered_ms: row.get(8)?,
        message: row.get(9)?,
    })
}

/// The bound that holds for all makes SQLite read the index backwards, and only as far as `limit`.
const UNMATCHED: &str = "
SELECT provider, pid, account, channel_no, transaction_id, total_fee, currency,
    paid_ms, discovered_ms, message
FROM unmatched INDEXED BY unmatched_discovered
WHERE discovered_ms <= ?1 AND NOT EXISTS (
    SELECT 1 FROM payments INDEXED BY payments_transaction
    WHERE payments.transaction_id = unmatched.transaction_id)
ORDER BY discovered_ms DESC, provider DESC, pid DESC, transaction_id DESC LIMIT ?2";

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;
    use crate::store::StoreMode;

    #[tokio::test]
    async fn a_look_up_that_finds_damage_closes_the_store_and_one_that_is_held_up_does_not() {
        let home = tempfile::tempdir().unwrap();
        let file = DatabaseFile::find(&home.path().join("paygate.db")).unwrap();
        file.create(StoreMode::Mock).unwrap();
        let failed = FirstFailure::default();
        let readers = Readers::start(&file, &failed).unwrap();
        for (code, closes) in [(ffi::SQLITE_BUSY, false), (ffi::SQLITE_CORRUPT, true)] {
            let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
            assert!(readers.ask(|_| Err::<(), _>(error)).await.is_err());
            assert_eq!(failed.get().is_some(), closes, "{code}");
        }
        readers.stop()();
    }
}
