//! The state that the simulated providers share: one ledger, one clock, one list of faults.
//!
//! Nothing in here knows a provider's protocol.

pub(super) mod balance;
pub(super) mod faults;
pub(super) mod ledger;
pub(super) mod notification;
pub(super) mod notification_content;
pub(super) mod numbers;
pub(super) mod order;
pub(super) mod payment;
pub(super) mod refund;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::Request;
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::domain::channel::ProviderId;
use crate::domain::time::Millis;
use faults::{Faults, ProviderOperation};
use ledger::{ClosesAt, Ledger, OrderKey};
use order::{MerchantAccount, SimulatedOrder};
use refund::RefundSettings;

/// The state that the simulated providers share.
#[derive(Debug)]
pub(super) struct World {
    ledger: Mutex<Ledger>,
    faults: Mutex<Faults>,
    calls: Mutex<BTreeMap<String, u64>>,
    /// Requests that a fault delays, and the times at which they arrive.
    late_requests: Mutex<Vec<(Millis, Request<Bytes>)>>,
    clock: Arc<dyn Clock>,
    advanced_ms: AtomicI64,
    /// How far the providers' clocks are ahead of this machine's.
    ahead_ms: AtomicI64,
    /// The divisor of the providers' real waits between notifications.
    time_scale: AtomicU32,
    refund_settings: Mutex<RefundSettings>,
    /// Wakes the delivery task: a notification may be due.
    wake: Notify,
}

/// The ledger could not write the change: nothing changed.
#[derive(Debug)]
pub(super) struct NotWritten;

impl World {
    /// Opens the world with the ledger in the file at `ledger`, or in memory.
    pub(super) fn open(
        ledger: Option<&Path>,
        clock: Arc<dyn Clock>,
        closes_at: ClosesAt,
    ) -> io::Result<World> {
        Ok(World {
            ledger: Mutex::new(Ledger::open(ledger, closes_at)?),
            faults: Mutex::default(),
            calls: Mutex::default(),
            late_requests: Mutex::default(),
            clock,
            advanced_ms: AtomicI64::new(0),
            ahead_ms: AtomicI64::new(0),
            time_scale: AtomicU32::new(1),
            refund_settings: Mutex::default(),
            wake: Notify::new(),
        })
    }

    /// Closes the ledger's file; no change is written after that.
    pub(super) fn close(&self) {
        locked(&self.ledger).close();
    }

    /// The time by which orders age: the clock's, plus what [`World::advance`] added.
    pub(super) fn now(&self) -> Millis {
        self.clock.now().plus(self.advanced_ms.load(Ordering::Relaxed))
    }

    /// The providers' time of day: signatures carry it, and they compare timestamps with it.
    pub(super) fn clock_time(&self) -> Millis {
        self.clock.now().plus(self.ahead_ms.load(Ordering::Relaxed))
    }

    /// Sets the providers' clocks `ms` ahead of this machine's; behind it where that is negative.
    pub(super) fn set_ahead(&self, ms: i64) {
        self.ahead_ms.store(ms, Ordering::Relaxed);
    }

    pub(super) fn advance(&self, ms: i64) {
        let add = |advanced: i64| Some(advanced.saturating_add(ms));
        let _ = self.advanced_ms.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        self.wake_delivery();
    }

    pub(super) fn time_scale(&self) -> u32 {
        self.time_scale.load(Ordering::Relaxed)
    }

    pub(super) fn set_time_scale(&self, time_scale: u32) {
        self.time_scale.store(time_scale, Ordering::Relaxed);
    }

    pub(super) fn refund_settings(&self) -> RefundSettings {
        *locked(&self.refund_settings)
    }

    pub(super) fn set_refund_settings(&self, settings: RefundSettings) {
        *locked(&self.refund_settings) = settings;
    }

    /// Wakes the delivery task: a notification may be due.
    pub(super) fn wake_delivery(&self) {
        self.wake.notify_one();
    }

    /// Waits for [`World::wake_delivery`].
    pub(super) async fn delivery_woken(&self) {
        self.wake.notified().await;
    }

    /// The orders that have a notification due by `now`, the longest waiting first.
    pub(super) fn orders_due(&self, now: Millis) -> Vec<OrderKey> {
        locked(&self.ledger).orders_due(now)
    }

    /// The time at which the next notification is due.
    pub(super) fn next_due(&self) -> Option<Millis> {
        locked(&self.ledger).next_due()
    }

    pub(super) fn faults(&self) -> MutexGuard<'_, Faults> {
        locked(&self.faults)
    }

    /// Counts a call, whatever becomes of it.
    pub(super) fn count_call(&self, provider: ProviderId, operation: ProviderOperation) {
        let kind = format!("{provider}.{}", operation.name());
        *locked(&self.calls).entry(kind).or_default() += 1;
    }

    /// How many calls of each kind came in, those included that a fault lost or a provider
    /// refused.
    pub(super) fn calls(&self) -> BTreeMap<String, u64> {
        locked(&self.calls).clone()
    }

    /// Lets `request` arrive `ms` milliseconds from now.
    pub(super) fn delay_request(&self, request: Request<Bytes>, ms: u32) {
        let arrives = self.now().plus(i64::from(ms));
        locked(&self.late_requests).push((arrives, request));
    }

    /// Takes the delayed requests that have arrived by now.
    pub(super) fn take_late_requests(&self) -> Vec<Request<Bytes>> {
        let now = self.now();
        let mut late = locked(&self.late_requests);
        let arrived = late.extract_if(.., |(arrives, _)| *arrives <= now);
        arrived.map(|(_, request)| request).collect()
    }

    pub(super) fn orders(&self) -> Vec<SimulatedOrder> {
        locked(&self.ledger).orders(self.now()).collect()
    }

    /// The first order under the merchant's `number` at `provider`, whatever the account.
    pub(super) fn find_by_number(
        &self,
        provider: ProviderId,
        number: &str,
    ) -> Option<SimulatedOrder> {
        let mut orders = self.orders().into_iter();
        orders.find(|order| order.provider == provider && order.out_trade_no == number)
    }

    pub(super) fn find_by_transaction(
        &self,
        merchant: &MerchantAccount<'_>,
        id: &str,
    ) -> Option<SimulatedOrder> {
        locked(&self.ledger).find_by_transaction(merchant, id, self.now())
    }

    pub(super) fn find_by_refund(
        &self,
        merchant: &MerchantAccount<'_>,
        number: &str,
    ) -> Option<SimulatedOrder> {
        locked(&self.ledger).find_by_refund(merchant, number, self.now())
    }

    pub(super) fn find(
        &self,
        merchant: &MerchantAccount<'_>,
        number: &str,
    ) -> Option<SimulatedOrder> {
        locked(&self.ledger).find(merchant, number, self.now())
    }

    /// Replaces the order under this number, or its absence, by the result of `decide`. The
    /// ledger is locked meanwhile.
    pub(super) fn change<E: From<NotWritten>>(
        &self,
        merchant: &MerchantAccount<'_>,
        number: &str,
        decide: impl FnOnce(Option<SimulatedOrder>) -> Result<SimulatedOrder, E>,
    ) -> Result<SimulatedOrder, E> {
        let mut ledger = locked(&self.ledger);
        let order = decide(ledger.find(merchant, number, self.now()))?;
        ledger.write(order.clone()).map_err(|error| {
            tracing::error!(%error, "the mock cannot write its ledger");
            NotWritten
        })?;
        Ok(order)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
