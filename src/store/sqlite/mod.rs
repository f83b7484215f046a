//! Orders in one SQLite file, owned by one process.
//!
//! A single thread writes. It puts what waits into one transaction and answers after the
//! transaction is on disk (write-ahead log, `synchronous = FULL`); a few other threads look up
//! and never wait for it. A shop can read the file with any SQLite tool while paygate runs.
//!
//! ```
//! use paygate::store::sqlite::Sqlite;
//! use paygate::store::{StoreErrorKind, StoreMode};
//!
//! let directory = tempfile::tempdir()?;
//! let path = directory.path().join("paygate.db");
//! let store = Sqlite::open(&path)?;
//! // One process owns a store, and a store serves one mode.
//! assert_eq!(Sqlite::open(&path).unwrap_err().kind, StoreErrorKind::Unavailable);
//! drop(store);
//! let refused = Sqlite::open_as(&path, StoreMode::Mock).unwrap_err();
//! assert_eq!(refused.kind, StoreErrorKind::OtherMode);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::{BoxFuture, Claim, Committed, Settled, Store, StoreError, StoreMode};
use crate::domain::channel::ProviderId;
use crate::domain::event::{DeliveryState, EventId, EventType, OutboxEvent};
use crate::domain::ids::{ChannelNo, OutTradeNo, Pid, TransactionId};
use crate::domain::money::Fen;
use crate::domain::order::Order;
use crate::domain::order::record::{decode, encode};
use crate::domain::time::Millis;
use crate::domain::unmatched::UnmatchedPayment;
use files::Place;
use reader::{EventRow, Lookups, Readers, UnmatchedRow};
use rows::{Outcome, Row, Rows};
use writer::{Answer, Held, Work, Writer};

mod failure;
mod files;
#[cfg(test)]
mod plans;
mod reader;
mod rows;
mod schema;
mod workers;
mod writer;

/// Orders in one SQLite file.
///
/// Dropping it waits for the writes that were handed over and closes the file, as
/// [`Store::close`] does without blocking.
#[derive(Debug)]
pub struct Sqlite {
    path: PathBuf,
    writer: Writer,
    readers: Readers,
    broken: Broken,
    restored: Option<Millis>,
}

/// The first failed write: after it, nothing is done any more.
type Broken = Arc<OnceLock<StoreError>>;

/// How long the writer waits for another program that writes to the file (a person's SQLite
/// tool) before it says so.
const BUSY: Duration = Duration::from_secs(5);

impl Sqlite {
    /// Opens the store at `path` for real money, and makes it when there is no such file.
    ///
    /// Beside the file stand `-wal`, `-shm` and `-lock`; all are readable by their owner only.
    ///
    /// # Errors
    ///
    /// See [`Sqlite::open_as`].
    pub fn open(path: impl AsRef<Path>) -> Result<Sqlite, StoreError> {
        Sqlite::open_as(path, StoreMode::Live)
    }

    /// Opens the store at `path` in `mode`, and makes it when there is no such file. Blocks for
    /// some milliseconds.
    ///
    /// # Errors
    ///
    /// `Unavailable` when the file cannot be used or another process holds it; `OtherMode`,
    /// `Newer` and `Corrupt` as [`StoreErrorKind`](super::StoreErrorKind) says. The file is then
    /// as it was, and the message says what helps.
    pub fn open_as(path: impl AsRef<Path>, mode: StoreMode) -> Result<Sqlite, StoreError> {
        let place = Place::find(path.as_ref())?;
        let lock = place.lock()?;
        if !place.is_there()? {
            place.create(mode)?;
        }
        place.restrict();
        let (connection, fence) = own(&place, mode)?;
        let restored = schema::restored(&connection);
        let restored = restored.map_err(|error| failure::opening(place.database(), &error))?;
        let broken = Broken::default();
        let readers = Readers::start(&place, &broken)?;
        let path = place.database().to_owned();
        let originals = place.originals()?;
        let held = Held { connection, originals, fence, lock, broken: Arc::clone(&broken) };
        let started = Writer::start(held);
        let writer = started.map_err(|error| failure::unavailable(path.display(), error))?;
        Ok(Sqlite { path, writer, readers, broken, restored })
    }

    /// How many transactions were written since the store was opened. Many requests share one:
    /// their number divided by this is what group commit saves.
    #[must_use]
    pub fn transactions(&self) -> u64 {
        self.writer.transactions()
    }

    fn sound(&self) -> Result<(), StoreError> {
        self.broken.get().map_or(Ok(()), |error| Err(error.clone()))
    }

    async fn write(&self, work: Work) -> Result<Answer, StoreError> {
        self.sound()?;
        let answer = self.writer.ask(work).await;
        // A request that met the end of the writer says why it ended.
        answer.map_err(|error| self.broken.get().cloned().unwrap_or(error))
    }

    fn decode(&self, record: &str) -> Result<Order, StoreError> {
        let order = decode(record).map_err(|ill| failure::corrupt(self.path.display(), ill))?;
        Ok(match self.restored {
            Some(at) => order.restored(at),
            None => order,
        })
    }

    fn number(&self, text: &str) -> Result<OutTradeNo, StoreError> {
        OutTradeNo::parse(text)
            .ok_or_else(|| failure::corrupt(self.path.display(), "an order's number is ill"))
    }

    fn event(&self, row: EventRow) -> Result<OutboxEvent, StoreError> {
        let ill = || failure::corrupt(self.path.display(), "an event in the outbox is ill");
        Ok(OutboxEvent {
            id: EventId::parse(&row.id).ok_or_else(ill)?,
            event: EventType::parse(&row.event).ok_or_else(ill)?,
            out_trade_no: self.number(&row.out_trade_no)?,
            kind: row.kind,
            body: row.body,
            created_at: Millis(row.created_ms),
            state: DeliveryState::parse(&row.state).ok_or_else(ill)?,
            tries: row.tries,
            next_at: Millis(row.next_ms),
        })
    }

    fn read_unmatched(&self, row: UnmatchedRow) -> Result<UnmatchedPayment, StoreError> {
        let ill = || failure::corrupt(self.path.display(), "a payment of no order is ill");
        Ok(UnmatchedPayment {
            provider: ProviderId::parse(&row.provider).ok_or_else(ill)?,
            pid: Pid::new(&row.pid),
            account: row.account,
            channel_no: ChannelNo::first(&self.number(&row.channel_no)?),
            transaction_id: TransactionId(row.transaction_id.into()),
            total_fee: u64::try_from(row.total_fee).ok().and_then(Fen::new).ok_or_else(ill)?,
            currency: row.currency,
            paid_at: row.paid_ms.map(Millis),
            discovered_at: Millis(row.known_ms),
            message: row.message,
        })
    }

    fn stop(&self) -> impl FnOnce() + Send + 'static {
        let (readers, writer) = (self.readers.stop(), self.writer.stop());
        move || {
            // The last connection to close empties the write-ahead log: the one that may write.
            readers();
            writer();
        }
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        self.stop()();
    }
}

impl Store for Sqlite {
    fn load<'a>(
        &'a self,
        out_trade_no: &'a OutTradeNo,
    ) -> BoxFuture<'a, Result<Option<Order>, StoreError>> {
        Box::pin(async move {
            self.sound()?;
            let out_trade_no = out_trade_no.clone();
            let record = self.readers.ask(move |lookups| lookups.load(&out_trade_no)).await?;
            record.map(|record| self.decode(&record)).transpose()
        })
    }

    fn claim<'a>(&'a self, order: &'a Order) -> BoxFuture<'a, Result<Claim, StoreError>> {
        Box::pin(async move {
            match self.write(Work::Claim(row(order, &[]))).await? {
                Answer::Done(Outcome::Written) => Ok(Claim::Fresh),
                Answer::Done(Outcome::Known(record)) => {
                    self.decode(&record).map(|order| Claim::Known(Box::new(order)))
                }
                Answer::Done(_) => Err(StoreError::number_taken()),
                Answer::OtherOwner => Err(self.other_owner()),
            }
        })
    }

    fn commit<'a>(
        &'a self,
        order: &'a Order,
        outbox: &'a [OutboxEvent],
    ) -> BoxFuture<'a, Result<Committed, StoreError>> {
        Box::pin(async move {
            match self.write(Work::Commit(row(order, outbox))).await? {
                Answer::Done(Outcome::Written) => Ok(Committed::Done),
                Answer::Done(Outcome::NumberTaken) => Err(StoreError::number_taken()),
                Answer::Done(Outcome::OtherVersion(record) | Outcome::Known(record)) => {
                    self.decode(&record).map(|order| Committed::OtherVersion(Box::new(order)))
                }
                Answer::Done(Outcome::Missing | Outcome::Stands) => Err(StoreError::not_stored()),
                Answer::OtherOwner => Ok(Committed::Lost),
            }
        })
    }

    fn find_channel<'a>(
        &'a self,
        provider: ProviderId,
        pid: &'a Pid,
        channel_no: &'a ChannelNo,
    ) -> BoxFuture<'a, Result<Option<OutTradeNo>, StoreError>> {
        Box::pin(async move {
            self.sound()?;
            let (pid, channel_no) = (pid.clone(), channel_no.clone());
            let ask = self.readers.ask(move |it| it.find_channel(provider, &pid, &channel_no));
            ask.await?.map(|out_trade_no| self.number(&out_trade_no)).transpose()
        })
    }

    fn find_transaction<'a>(
        &'a self,
        id: &'a TransactionId,
    ) -> BoxFuture<'a, Result<Option<OutTradeNo>, StoreError>> {
        Box::pin(async move {
            self.sound()?;
            let id = id.clone();
            let out_trade_no =
                self.readers.ask(move |lookups| lookups.find_transaction(&id)).await?;
            out_trade_no.map(|out_trade_no| self.number(&out_trade_no)).transpose()
        })
    }

    fn find_refund<'a>(
        &'a self,
        pid: &'a Pid,
        out_refund_no: &'a str,
    ) -> BoxFuture<'a, Result<Option<OutTradeNo>, StoreError>> {
        Box::pin(async move {
            self.sound()?;
            let (pid, refund) = (pid.clone(), out_refund_no.to_owned());
            let out_trade_no =
                self.readers.ask(move |lookups| lookups.find_refund(&pid, &refund)).await?;
            out_trade_no.map(|out_trade_no| self.number(&out_trade_no)).transpose()
        })
    }

    fn due(&self, now: Millis, limit: usize) -> BoxFuture<'_, Result<Vec<OutTradeNo>, StoreError>> {
        Box::pin(async move {
            self.sound()?;
            let numbers = self.readers.ask(move |lookups| lookups.due(now, limit)).await?;
            numbers.iter().map(|out_trade_no| self.number(out_trade_no)).collect()
        })
    }

    fn outbox_due(
        &self,
        now: Millis,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<OutboxEvent>, StoreError>> {
        Box::pin(async move {
            self.sound()?;
            let rows = self.readers.ask(move |lookups| lookups.outbox_due(now, limit)).await?;
            rows.into_iter().map(|row| self.event(row)).collect()
        })
    }

    fn outbox_list(
        &self,
        state: DeliveryState,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<OutboxEvent>, StoreError>> {
        Box::pin(async move {
            self.sound()?;
            let rows = self.readers.ask(move |lookups| lookups.outbox_list(state, limit)).await?;
            rows.into_iter().map(|row| self.event(row)).collect()
        })
    }

    fn outbox_find<'a>(
        &'a self,
        id: &'a EventId,
    ) -> BoxFuture<'a, Result<Option<OutboxEvent>, StoreError>> {
        Box::pin(async move {
            self.sound()?;
            let id = id.clone();
            let row = self.readers.ask(move |lookups| lookups.outbox_find(&id)).await?;
            row.map(|row| self.event(row)).transpose()
        })
    }

    fn outbox_set<'a>(
        &'a self,
        event: &'a OutboxEvent,
    ) -> BoxFuture<'a, Result<Settled, StoreError>> {
        Box::pin(async move {
            match self.write(Work::Transition(Box::new(event.clone()))).await? {
                Answer::Done(Outcome::Written) => Ok(Settled::Done),
                Answer::Done(_) => Ok(Settled::Missing),
                Answer::OtherOwner => Ok(Settled::Lost),
            }
        })
    }

    fn add_unmatched<'a>(
        &'a self,
        unmatched: &'a UnmatchedPayment,
        event: &'a OutboxEvent,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            let both = Box::new((unmatched.clone(), event.clone()));
            match self.write(Work::UnmatchedPayment(both)).await? {
                Answer::Done(outcome) => Ok(outcome == Outcome::Written),
                Answer::OtherOwner => Err(self.other_owner()),
            }
        })
    }

    fn unmatched(&self, limit: usize) -> BoxFuture<'_, Result<Vec<UnmatchedPayment>, StoreError>> {
        Box::pin(async move {
            self.sound()?;
            let rows = self.readers.ask(move |lookups| lookups.unmatched(limit)).await?;
            rows.into_iter().rev().map(|row| self.read_unmatched(row)).collect()
        })
    }

    fn ready(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            match self.write(Work::Probe).await? {
                Answer::Done(_) => Ok(()),
                Answer::OtherOwner => Err(self.other_owner()),
            }
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            // A panic of a thread was told by the panic hook; nothing is left to do.
            drop(tokio::task::spawn_blocking(self.stop()).await);
        })
    }
}

impl Sqlite {
    fn other_owner(&self) -> StoreError {
        let why = "was opened by another process since: its -lock file must not be removed while \
                   paygate runs. Restart one of the two with a store of its own";
        failure::unavailable(self.path.display(), why)
    }
}

/// Opens the database, judges it, and makes this process its owner.
fn own(place: &Place, mode: StoreMode) -> Result<(Connection, i64), StoreError> {
    let path = place.database();
    let failed = |error| failure::opening(path, &error);
    let connection = place.open_for_writing().map_err(failed)?;
    // A database that is refused stays as it is: closing it must not move its write-ahead log.
    let keep_log = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
    connection.set_db_config(keep_log, true).map_err(failed)?;
    connection.busy_timeout(BUSY).map_err(failed)?;
    schema::judge(&connection, path, mode)?;
    connection.execute_batch(SETTINGS).map_err(failed)?;
    // Every table, column and index that is used, before anything is written for good.
    let check = |connection: &Connection| {
        Rows::prepare(connection)?;
        Lookups::prepare(connection).map(drop)
    };
    schema::migrate(&connection, check).map_err(failed)?;
    let journal: String = connection
        .pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))
        .map_err(failed)?;
    if journal != "wal" {
        let why = "takes no write-ahead log: keep the store on a local disk";
        return Err(failure::unavailable(path.display(), why));
    }
    let fence = schema::raise_fence(&connection).map_err(failed)?;
    connection.set_db_config(keep_log, false).map_err(failed)?;
    Ok((connection, fence))
}

/// A commit is on disk when it returns (`fullfsync`: also on macOS, whose `fsync` does not wait
/// for the disk). The log shrinks back after a peak.
const SETTINGS: &str = "
PRAGMA synchronous = FULL;
PRAGMA fullfsync = ON;
PRAGMA checkpoint_fullfsync = ON;
PRAGMA temp_store = MEMORY;
PRAGMA journal_size_limit = 67108864;
";

fn row(order: &Order, outbox: &[OutboxEvent]) -> Box<Row> {
    Box::new(Row { order: order.clone(), record: encode(order), outbox: outbox.to_vec() })
}
