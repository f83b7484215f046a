//! Where orders live: what the engine needs of a store.
//!
//! Every commit is durable before it returns, is a compare-and-set on the order's version, and
//! carries the store's fence: opening a store that one process owns raises it, so that a worker
//! of an earlier opening that stalled and wakes up writes nothing. A store that cannot be opened
//! while an earlier opening lasts needs no other fence.

pub(crate) mod memory;
#[cfg(feature = "sqlite")]
pub(crate) mod sqlite;

use std::collections::HashMap;
use std::fmt::{self, Debug};

pub use memory::Memory;
#[cfg(feature = "sqlite")]
pub use sqlite::Sqlite;

use crate::domain::channel::ProviderId;
use crate::domain::event::{DeliveryState, EventId, EventType, OutboxEvent};
use crate::domain::ids::{ChannelNo, OutTradeNo, Pid, TransactionId};
use crate::domain::order::Order;
use crate::domain::time::Millis;
use crate::domain::unmatched::UnmatchedPayment;
use crate::error::debug_like_display;
pub use crate::provider::BoxFuture;

/// A durable map from `out_trade_no` to [`Order`].
///
/// A store keeps an order as the record that [`encode_record`](crate::domain::encode_record)
/// writes, so that it reads the records of earlier versions, and keeps what a newer paygate added.
pub trait Store: Send + Sync + Debug {
    /// The order with this number. A store that was restored from a copy gives out every order
    /// as [`Order::restored`] makes it.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Newer`] when a newer paygate wrote the order's record in a version that
    /// this program cannot read; the record stays as it is.
    fn load<'a>(
        &'a self,
        out_trade_no: &'a OutTradeNo,
    ) -> BoxFuture<'a, Result<Option<Order>, StoreError>>;

    /// Claims the order's number: one statement, no look-up before it. The order, its attempts
    /// and their channel numbers are durable when this returns [`Claim::Fresh`]. Dropping the
    /// future takes nothing back that was handed over.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::NumberTaken`] when an attempt's or a refund's number is another order's,
    /// [`StoreErrorKind::Unavailable`] when the store has been opened again since this opening;
    /// nothing was written.
    fn claim<'a>(&'a self, order: &'a Order) -> BoxFuture<'a, Result<Claim, StoreError>>;

    /// Replaces the order whose stored version is one less, with its attempts and their channel
    /// numbers, and adds the events for the shop to the outbox, all or nothing; an event that is
    /// in the outbox stays as it is. Durable when this returns [`Committed::Done`]; nothing was
    /// written when it returns anything else. Dropping the future takes nothing back that was
    /// handed over.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::NumberTaken`] as for [`Store::claim`]; [`StoreErrorKind::Corrupt`] when
    /// no order with this number is stored, since a claimed order is never removed. Nothing was
    /// written.
    fn commit<'a>(
        &'a self,
        order: &'a Order,
        outbox: &'a [OutboxEvent],
    ) -> BoxFuture<'a, Result<Committed, StoreError>>;

    /// The order that an attempt's number belongs to.
    fn find_channel<'a>(
        &'a self,
        provider: ProviderId,
        pid: &'a Pid,
        channel_no: &'a ChannelNo,
    ) -> BoxFuture<'a, Result<Option<OutTradeNo>, StoreError>>;

    /// The order with a payment that its provider gave this number. Providers give a number once;
    /// if several orders have it all the same, the first of them.
    fn find_transaction<'a>(
        &'a self,
        id: &'a TransactionId,
    ) -> BoxFuture<'a, Result<Option<OutTradeNo>, StoreError>>;

    /// The order that a refund's number belongs to.
    fn find_refund<'a>(
        &'a self,
        pid: &'a Pid,
        out_refund_no: &'a str,
    ) -> BoxFuture<'a, Result<Option<OutTradeNo>, StoreError>>;

    /// At most `limit` orders whose [`Order::due`] is at or before `now`, the earliest first.
    /// Never reads the others. An order that could not be loaded may be left out.
    fn due(&self, now: Millis, limit: usize) -> BoxFuture<'_, Result<Vec<OutTradeNo>, StoreError>>;

    /// The events that are due at `now` ([`OutboxEvent::is_due`]): of each type of event about
    /// each type of order at most `limit`, so that one receiver's backlog hides no other's. By the
    /// time of their next sending, those of one moment by their numbers. Reads no other event. An
    /// event of a type that this program does not know may be left out.
    fn outbox_due(
        &self,
        now: Millis,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<OutboxEvent>, StoreError>>;

    /// At most `limit` events in `state`, in the same order.
    fn outbox_list(
        &self,
        state: DeliveryState,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<OutboxEvent>, StoreError>>;

    /// The event with this number.
    fn outbox_find<'a>(
        &'a self,
        id: &'a EventId,
    ) -> BoxFuture<'a, Result<Option<OutboxEvent>, StoreError>>;

    /// Replaces an event's state, tries and next sending. Durable when this
    /// returns [`EventUpdate::Done`].
    fn outbox_set<'a>(
        &'a self,
        event: &'a OutboxEvent,
    ) -> BoxFuture<'a, Result<EventUpdate, StoreError>>;

    /// Records a payment of no order, and adds its event to the outbox, all or nothing and once:
    /// whether it was not recorded before, by [`UnmatchedPayment::key`]. Durable when this
    /// returns.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Unavailable`] when the store has been opened again since this opening.
    fn add_unmatched<'a>(
        &'a self,
        unmatched: &'a UnmatchedPayment,
        event: &'a OutboxEvent,
    ) -> BoxFuture<'a, Result<bool, StoreError>>;

    /// The last `limit` payments of no order, the newest last, without those that are a payment
    /// of a stored order by now.
    fn unmatched(&self, limit: usize) -> BoxFuture<'_, Result<Vec<UnmatchedPayment>, StoreError>>;

    /// What the store is used for; `None`, the default, for a store that serves any use, such as
    /// memory.
    fn mode(&self) -> Option<StoreMode> {
        None
    }

    /// Whether the store can be written to, and is still this opening's: what `/readyz` answers.
    fn ready(&self) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Waits until what was committed is on disk and lets go of the store: this opening answers
    /// nothing more.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// The outcome of [`Store::claim`].
#[derive(Clone, Debug, PartialEq)]
pub enum Claim {
    /// The number was free and is this order's.
    Fresh,
    /// Another order has this number: this one.
    Existing(Box<Order>),
}

/// The outcome of [`Store::commit`].
#[derive(Clone, Debug, PartialEq)]
pub enum Committed {
    /// Durable.
    Done,
    /// Another version is stored, and nothing was written: the stored order, read in the same
    /// transaction. What happened may be applied to it anew.
    OtherVersion(Box<Order>),
    /// The store was opened again since this opening, and nothing was written: the caller writes
    /// nothing more, and sends nothing more.
    Lost,
}

/// The outcome of [`Store::outbox_set`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventUpdate {
    /// Durable.
    Done,
    /// There is no such event.
    Missing,
    /// The store was opened again since this opening, and nothing was written.
    Lost,
}

/// Why a store refused or failed.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreError {
    /// What is wrong.
    pub kind: StoreErrorKind,
    /// What is wrong and what helps, for the operator. Holds no order's data.
    pub message: String,
    /// Whether another process holds the store.
    is_held: bool,
}

/// What is wrong with a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// It could not be opened, was closed, or is held by another process.
    Unavailable,
    /// It belongs to the other mode (`live`, `mock`).
    OtherMode,
    /// A newer paygate wrote the store, or one order's record in it.
    Newer,
    /// It is damaged, or no paygate store. After a look-up that found damage nothing more is
    /// accepted.
    Corrupt,
    /// A read or write failed; after a failed write nothing more is accepted.
    Io,
    /// A write found no room on the disk; nothing more is accepted until the store was opened anew,
    /// which it does by itself.
    Full,
    /// A number of this order at its provider, or of one of its refunds, is another order's.
    NumberTaken,
}

impl StoreError {
    /// An error of `kind`, in words that hold no order's data.
    #[must_use]
    pub fn new(kind: StoreErrorKind, message: impl Into<String>) -> StoreError {
        StoreError { kind, message: message.into(), is_held: false }
    }

    /// The error of a store that another process holds.
    #[cfg(feature = "sqlite")]
    fn held(message: impl Into<String>) -> StoreError {
        let error = StoreError::new(StoreErrorKind::Unavailable, message);
        StoreError { is_held: true, ..error }
    }

    /// Whether another process holds the store: it is free when that process ends.
    pub(crate) fn is_held(&self) -> bool {
        self.is_held
    }

    fn number_taken() -> StoreError {
        let message = "a number of this order at its provider, or of one of its refunds, belongs \
                       to another order; nothing was written";
        StoreError::new(StoreErrorKind::NumberTaken, message)
    }

    fn not_stored() -> StoreError {
        let message = "an order that was claimed is not in the store any more: stop paygate, and \
                       restore the store's last copy";
        StoreError::new(StoreErrorKind::Corrupt, message)
    }

    fn closed() -> StoreError {
        StoreError::new(StoreErrorKind::Unavailable, "the store was closed")
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

debug_like_display!(StoreError);

impl std::error::Error for StoreError {}

/// The numbers that an order's attempts have at their providers: each belongs to one order.
pub fn channel_numbers(order: &Order) -> impl Iterator<Item = (ProviderId, Pid, ChannelNo)> {
    order.attempts.iter().map(|attempt| {
        let provider = attempt.method.provider();
        (provider, order.terms.pid.clone(), attempt.channel_no.clone())
    })
}

/// The numbers that an order's refunds have: each belongs to one order of a merchant.
pub fn refund_numbers(order: &Order) -> impl Iterator<Item = (Pid, String)> {
    let refunds = order.payments.iter().flat_map(|payment| &payment.refunds);
    refunds.map(|refund| (order.terms.pid.clone(), refund.out_refund_no.clone()))
}

/// The first `limit` events of each type of event about each type of order, in their order: what
/// [`Store::outbox_due`] returns of the events that are due.
pub fn events_of_each_type(
    events: impl IntoIterator<Item = OutboxEvent>,
    limit: usize,
) -> Vec<OutboxEvent> {
    let mut counts: HashMap<(EventType, String), usize> = HashMap::new();
    let within = events.into_iter().filter(|event| {
        let count = counts.entry((event.event, event.kind.clone())).or_default();
        *count = count.saturating_add(1);
        *count <= limit
    });
    within.collect()
}

/// What a store is used for: a store keeps it, and opens for no other use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreMode {
    /// Real money.
    Live,
    /// Simulated providers.
    Mock,
}

impl StoreMode {
    /// The name in the store and in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            StoreMode::Live => "live",
            StoreMode::Mock => "mock",
        }
    }
}

/// An account that orders of a store belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(not(all(feature = "sidecar", feature = "sqlite")), allow(dead_code))]
pub(crate) struct StoredAccount {
    /// The merchant's name in paygate.
    pub(crate) pid: Pid,
    /// The name of the version of the provider's API.
    pub(crate) api_version: String,
    /// The merchant's number at WeChat Pay, the app's at Alipay.
    pub(crate) id: String,
}

/// What a store knows of the accounts of its orders.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(not(all(feature = "sidecar", feature = "sqlite")), allow(dead_code))]
pub(crate) enum KnownAccounts {
    /// Every one.
    Listed(Vec<StoredAccount>),
    /// An earlier paygate, which did not list them, wrote its tables.
    Unlisted,
}

/// A copy of a store that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backup {
    /// The orders in it.
    pub orders: u64,
}

/// A copy that was put in the place of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Restored {
    /// The orders in the copy.
    pub orders: u64,
    /// The database that stood in its place, if one did, under its new name.
    pub replaced: Option<std::path::PathBuf>,
}
