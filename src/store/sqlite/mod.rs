//! Orders in one SQLite file, owned by one process.
//!
//! A single thread writes. It puts what waits into one transaction and answers after the
//! transaction is on disk (write-ahead log, `synchronous = FULL`); a few other threads look up
//! and never wait for it. A shop can read the file with any SQLite tool while paygate runs.
//!
//! Opening a store that an earlier paygate wrote brings its tables and its orders' records up to
//! date, in one transaction, which takes as much room on the disk again. A store that a newer
//! paygate wrote is opened where that paygate marked it as compatible.
//!
//! ```
//! use paygate::store::{Sqlite, StoreErrorKind, StoreMode};
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
use std::sync::Arc;

use super::{
    BoxFuture, Claim, Committed, EventUpdate, Store, StoreError, StoreMode, events_of_each_type,
};
use crate::domain::channel::ProviderId;
use crate::domain::event::{DeliveryState, EventId, EventType, OutboxEvent};
use crate::domain::ids::{ChannelNo, OutTradeNo, Pid, TransactionId};
use crate::domain::money::Fen;
use crate::domain::order::Order;
use crate::domain::order::record::{RecordError, decode_record, encode_record};
use crate::domain::time::Millis;
use crate::domain::unmatched::UnmatchedPayment;
pub(crate) use copies::{back_up, check, restore};
use opening::Opening;
use reader::{EventRow, ReadStatements, UnmatchedRow};
#[cfg(feature = "mock")]
pub(crate) use removal::HeldMockStore;
use reopening::Reopening;
use rows::{OrderRow, WriteOutcome};
use unreadable::UnreadableRows;
use writer::{WriteAnswer, WriteCommand};

mod copies;
mod failure;
mod files;
mod lock;
mod log;
mod migrations;
mod opening;
#[cfg(test)]
mod plans;
mod private;
mod reader;
#[cfg(feature = "mock")]
mod removal;
mod reopening;
mod rows;
mod schema;
mod unreadable;
mod workers;
mod writer;

/// Orders in one SQLite file.
///
/// Dropping it waits for the writes that were handed over and closes the file, as
/// [`Store::close`] does without blocking.
#[derive(Debug)]
pub struct Sqlite {
    path: PathBuf,
    mode: StoreMode,
    reopening: Arc<Reopening>,
    unreadable_orders: UnreadableRows,
    unreadable_events: UnreadableRows,
}

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
    /// some milliseconds, longer where it brings an earlier paygate's store up to date.
    ///
    /// # Errors
    ///
    /// `Unavailable` when the file cannot be used or another process holds it; `OtherMode`,
    /// `Newer` and `Corrupt` as [`StoreErrorKind`](super::StoreErrorKind) describes them. The file
    /// is then as it was, and the message has the remedy.
    pub fn open_as(path: impl AsRef<Path>, mode: StoreMode) -> Result<Sqlite, StoreError> {
        let opening = Opening::new(path.as_ref(), mode)?;
        let path = opening.database().to_owned();
        let reopening = Reopening::new(opening, mode);
        let (unreadable_orders, unreadable_events) = Default::default();
        Ok(Sqlite { path, mode, reopening, unreadable_orders, unreadable_events })
    }

    /// How many transactions were written since the store was opened. Many requests share one:
    /// their number divided by this is what group commit saves.
    #[must_use]
    pub fn transactions(&self) -> u64 {
        self.reopening.current().writer.transactions()
    }

    async fn write(&self, command: WriteCommand) -> Result<WriteAnswer, StoreError> {
        let opening = self.reopening.serving()?;
        let answer = opening.writer.ask(command).await;
        // A request that met the end of the writer is answered with why it ended.
        answer.map_err(|error| opening.failed.get().cloned().unwrap_or(error))
    }

    async fn read<T: Send + 'static>(
        &self,
        lookup: impl FnOnce(&mut ReadStatements<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let opening = self.reopening.serving()?;
        let found = opening.readers.ask(lookup).await;
        found.map_err(|error| opening.failed.get().cloned().unwrap_or(error))
    }

    fn decode_record(&self, record: &str) -> Result<Order, StoreError> {
        let opening = self.reopening.current();
        let order = decode_record(record).map_err(|error| match error {
            RecordError::Newer { version } => failure::newer_record(&self.path, version),
            RecordError::Invalid { .. } => {
                let invalid = failure::corrupt(self.path.display(), error);
                // No paygate ever wrote such a record: a page of it was lost.
                match record.contains('\0') {
                    true => opening.failed.get_or_init(|| invalid).clone(),
                    false => invalid,
                }
            }
        })?;
        Ok(match opening.restored {
            Some(at) => order.restored(at),
            None => order,
        })
    }

    fn number(&self, text: &str) -> Result<OutTradeNo, StoreError> {
        OutTradeNo::parse(text)
            .ok_or_else(|| failure::corrupt(self.path.display(), "an order's number is invalid"))
    }

    fn event(&self, row: EventRow) -> Result<OutboxEvent, StoreError> {
        let invalid = || failure::corrupt(self.path.display(), "an event in the outbox is invalid");
        Ok(OutboxEvent {
            id: EventId::parse(&row.id).ok_or_else(invalid)?,
            event: EventType::parse(&row.event).ok_or_else(invalid)?,
            out_trade_no: self.number(&row.out_trade_no)?,
            kind: row.kind,
            body: row.body,
            created_at: Millis(row.created_ms),
            state: DeliveryState::parse(&row.state).ok_or_else(invalid)?,
            tries: row.tries,
            next_at: Millis(row.next_ms),
        })
    }

    /// The events of `rows` without those that this program cannot read: an older paygate passes
    /// over the events that a newer one added.
    fn events(&self, rows: Vec<EventRow>) -> impl Iterator<Item = OutboxEvent> {
        rows.into_iter().filter_map(|row| {
            let id = row.id.clone();
            match self.event(row) {
                Ok(event) => Some(event),
                Err(error) => {
                    if self.unreadable_events.add(&id) {
                        tracing::error!(id, %error, "paygate passes over an event of the outbox");
                    }
                    None
                }
            }
        })
    }

    fn read_unmatched(&self, row: UnmatchedRow) -> Result<UnmatchedPayment, StoreError> {
        let invalid = || failure::corrupt(self.path.display(), "a payment of no order is invalid");
        Ok(UnmatchedPayment {
            provider: ProviderId::parse(&row.provider).ok_or_else(invalid)?,
            pid: Pid::new(&row.pid),
            account: row.account,
            channel_no: ChannelNo::first(&self.number(&row.channel_no)?),
            transaction_id: TransactionId(row.transaction_id.into()),
            total_fee: u64::try_from(row.total_fee).ok().and_then(Fen::new).ok_or_else(invalid)?,
            currency: row.currency,
            paid_at: row.paid_ms.map(Millis),
            discovered_at: Millis(row.discovered_ms),
            message: row.message,
        })
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        self.reopening.close()();
    }
}

impl Store for Sqlite {
    fn load<'a>(
        &'a self,
        out_trade_no: &'a OutTradeNo,
    ) -> BoxFuture<'a, Result<Option<Order>, StoreError>> {
        Box::pin(async move {
            let number = out_trade_no.clone();
            let record = self.read(move |statements| statements.load(&number)).await?;
            let order = record.map(|record| self.decode_record(&record)).transpose();
            match order {
                Ok(_) => self.unreadable_orders.remove(out_trade_no.as_str()),
                Err(_) => _ = self.unreadable_orders.add(out_trade_no.as_str()),
            }
            order
        })
    }

    fn claim<'a>(&'a self, order: &'a Order) -> BoxFuture<'a, Result<Claim, StoreError>> {
        Box::pin(async move {
            match self.write(WriteCommand::Claim(row(order, &[]))).await? {
                WriteAnswer::Done(WriteOutcome::Written) => Ok(Claim::Fresh),
                WriteAnswer::Done(WriteOutcome::Existing(record)) => {
                    self.decode_record(&record).map(|order| Claim::Existing(Box::new(order)))
                }
                WriteAnswer::Done(_) => Err(StoreError::number_taken()),
                WriteAnswer::OtherOwner => Err(self.other_owner()),
            }
        })
    }

    fn commit<'a>(
        &'a self,
        order: &'a Order,
        outbox: &'a [OutboxEvent],
    ) -> BoxFuture<'a, Result<Committed, StoreError>> {
        Box::pin(async move {
            match self.write(WriteCommand::Commit(row(order, outbox))).await? {
                WriteAnswer::Done(WriteOutcome::Written) => Ok(Committed::Done),
                WriteAnswer::Done(WriteOutcome::NumberTaken) => Err(StoreError::number_taken()),
                WriteAnswer::Done(
                    WriteOutcome::OtherVersion(record) | WriteOutcome::Existing(record),
                ) => self
                    .decode_record(&record)
                    .map(|order| Committed::OtherVersion(Box::new(order))),
                WriteAnswer::Done(WriteOutcome::Missing | WriteOutcome::Unchanged) => {
                    Err(StoreError::not_stored())
                }
                WriteAnswer::OtherOwner => Ok(Committed::Lost),
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
            let (pid, channel_no) = (pid.clone(), channel_no.clone());
            let found = self
                .read(move |statements| statements.find_channel(provider, &pid, &channel_no))
                .await?;
            found.map(|out_trade_no| self.number(&out_trade_no)).transpose()
        })
    }

    fn find_transaction<'a>(
        &'a self,
        id: &'a TransactionId,
    ) -> BoxFuture<'a, Result<Option<OutTradeNo>, StoreError>> {
        Box::pin(async move {
            let id = id.clone();
            let out_trade_no =
                self.read(move |statements| statements.find_transaction(&id)).await?;
            out_trade_no.map(|out_trade_no| self.number(&out_trade_no)).transpose()
        })
    }

    fn find_refund<'a>(
        &'a self,
        pid: &'a Pid,
        out_refund_no: &'a str,
    ) -> BoxFuture<'a, Result<Option<OutTradeNo>, StoreError>> {
        Box::pin(async move {
            let (pid, refund) = (pid.clone(), out_refund_no.to_owned());
            let out_trade_no =
                self.read(move |statements| statements.find_refund(&pid, &refund)).await?;
            out_trade_no.map(|out_trade_no| self.number(&out_trade_no)).transpose()
        })
    }

    fn due(&self, now: Millis, limit: usize) -> BoxFuture<'_, Result<Vec<OutTradeNo>, StoreError>> {
        Box::pin(async move {
            let length = self.unreadable_orders.beyond(limit);
            let numbers = self.read(move |statements| statements.due(now, length)).await?;
            let readable = numbers.iter().filter(|number| !self.unreadable_orders.contains(number));
            readable.take(limit).map(|out_trade_no| self.number(out_trade_no)).collect()
        })
    }

    fn outbox_due(
        &self,
        now: Millis,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<OutboxEvent>, StoreError>> {
        Box::pin(async move {
            let length = self.unreadable_events.beyond(limit);
            let rows = self.read(move |statements| statements.outbox_due(now, length)).await?;
            Ok(events_of_each_type(self.events(rows), limit))
        })
    }

    fn outbox_list(
        &self,
        state: DeliveryState,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<OutboxEvent>, StoreError>> {
        Box::pin(async move {
            let length = self.unreadable_events.beyond(limit);
            let listed = self.read(move |statements| statements.outbox_list(state, length));
            Ok(self.events(listed.await?).take(limit).collect())
        })
    }

    fn outbox_find<'a>(
        &'a self,
        id: &'a EventId,
    ) -> BoxFuture<'a, Result<Option<OutboxEvent>, StoreError>> {
        Box::pin(async move {
            let id = id.clone();
            let row = self.read(move |statements| statements.outbox_find(&id)).await?;
            row.map(|row| self.event(row)).transpose()
        })
    }

    fn outbox_set<'a>(
        &'a self,
        event: &'a OutboxEvent,
    ) -> BoxFuture<'a, Result<EventUpdate, StoreError>> {
        Box::pin(async move {
            match self.write(WriteCommand::UpdateEvent(Box::new(event.clone()))).await? {
                WriteAnswer::Done(WriteOutcome::Written) => Ok(EventUpdate::Done),
                WriteAnswer::Done(_) => Ok(EventUpdate::Missing),
                WriteAnswer::OtherOwner => Ok(EventUpdate::Lost),
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
            match self.write(WriteCommand::AddUnmatched(both)).await? {
                WriteAnswer::Done(outcome) => Ok(outcome == WriteOutcome::Written),
                WriteAnswer::OtherOwner => Err(self.other_owner()),
            }
        })
    }

    fn unmatched(&self, limit: usize) -> BoxFuture<'_, Result<Vec<UnmatchedPayment>, StoreError>> {
        Box::pin(async move {
            let rows = self.read(move |statements| statements.unmatched(limit)).await?;
            rows.into_iter().rev().map(|row| self.read_unmatched(row)).collect()
        })
    }

    fn mode(&self) -> Option<StoreMode> {
        Some(self.mode)
    }

    fn ready(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            match self.write(WriteCommand::Probe).await? {
                WriteAnswer::Done(_) => Ok(()),
                WriteAnswer::OtherOwner => Err(self.other_owner()),
            }
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            // The panic hook reported the panic of a thread; nothing is left to do.
            drop(tokio::task::spawn_blocking(self.reopening.close()).await);
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

fn row(order: &Order, outbox: &[OutboxEvent]) -> Box<OrderRow> {
    Box::new(OrderRow {
        order: order.clone(),
        record: encode_record(order),
        outbox: outbox.to_vec(),
    })
}
