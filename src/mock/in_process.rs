//! The simulated providers without a socket.

use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};

use super::buyer::{self, BuyerAction};
use super::dispatch::{self, CallOutcome};
use super::notifier::{self, SignedNotification};
use super::operator::{self, ConsoleRefund, RefundEnd};
use super::providers;
use super::purchase::{ActionRefused, SimulatedPurchase};
use super::shop_events::{self, ShopEvents};
use super::world::World;
use super::world::balance::{self, Balance, MoneyTotals};
use super::world::faults::SimulatedFault;
use super::world::notification::MerchantAnswer;
use super::world::order::SimulatedOrder;
use super::world::refund::RefundSettings;
use crate::clock::Clock;
use crate::domain::time::Millis;
use crate::provider::{BoxFuture, Transport, TransportFailure};

/// Both simulated providers, called as functions: for tests on a paused clock, and a handle to a
/// running [`Mock`](super::Mock). Clones share the providers.
#[derive(Clone, Debug)]
pub struct InProcess {
    world: Arc<World>,
    shop_events: Arc<OnceLock<Arc<dyn ShopEvents>>>,
}

impl InProcess {
    /// Opens the providers with the ledger in the file at `ledger`, or in memory.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or written, holds something else, or is another mock's.
    pub fn open(ledger: Option<&Path>, clock: Arc<dyn Clock>) -> io::Result<InProcess> {
        let world = Arc::new(World::open(ledger, clock, providers::closes_at)?);
        Ok(InProcess { world, shop_events: Arc::default() })
    }

    /// Lets another mock have the ledger's file; nothing changes here any more.
    pub(super) fn close(&self) {
        self.world.close();
    }

    /// Lets the cashier show the shop's events from `source`; the first one counts.
    pub fn set_shop_events(&self, source: Arc<dyn ShopEvents>) {
        let _ = self.shop_events.set(source);
    }

    /// Every order that the providers keep.
    #[must_use]
    pub fn orders(&self) -> Vec<SimulatedOrder> {
        self.world().orders()
    }

    /// How many calls of a kind came in (`wxpay.create`, `alipay.query`), whatever became of them.
    #[must_use]
    pub fn calls(&self, kind: &str) -> u64 {
        self.world.calls().get(kind).copied().unwrap_or_default()
    }

    /// A buyer pays.
    ///
    /// # Errors
    ///
    /// When the provider refuses the payment.
    pub fn pay(&self, purchase: &SimulatedPurchase) -> Result<SimulatedOrder, ActionRefused> {
        buyer::perform(self.world(), purchase, BuyerAction::Pay)
    }

    /// A buyer opens the cashier and does not pay.
    ///
    /// # Errors
    ///
    /// When the provider does not open the cashier.
    pub fn scan(&self, purchase: &SimulatedPurchase) -> Result<SimulatedOrder, ActionRefused> {
        buyer::perform(self.world(), purchase, BuyerAction::Scan)
    }

    /// A buyer opens the cashier and enters a password, for up to a minute.
    ///
    /// # Errors
    ///
    /// When the provider does not open the cashier.
    pub fn enter_password(
        &self,
        purchase: &SimulatedPurchase,
    ) -> Result<SimulatedOrder, ActionRefused> {
        buyer::perform(self.world(), purchase, BuyerAction::EnterPassword)
    }

    /// A buyer opens the cashier and leaves it without paying.
    ///
    /// # Errors
    ///
    /// When the provider does not open the cashier.
    pub fn cancel(&self, purchase: &SimulatedPurchase) -> Result<SimulatedOrder, ActionRefused> {
        buyer::perform(self.world(), purchase, BuyerAction::Cancel)
    }

    /// Lets the order and its payment codes expire now, as if no buyer had paid in time.
    ///
    /// # Errors
    ///
    /// When there is no such order.
    pub fn expire(&self, purchase: &SimulatedPurchase) -> Result<SimulatedOrder, ActionRefused> {
        buyer::expire(self.world(), purchase)
    }

    /// An operator makes a refund in the provider's console.
    ///
    /// # Errors
    ///
    /// When no buyer has paid the order, or the amount exceeds what can be refunded.
    pub fn refund_in_console(
        &self,
        refund: &ConsoleRefund,
    ) -> Result<SimulatedOrder, ActionRefused> {
        operator::refund(self.world(), refund)
    }

    /// An operator ends a refund that is `PROCESSING` or `ABNORMAL`, and the provider notifies
    /// the shop.
    ///
    /// # Errors
    ///
    /// When there is no such refund, or it has ended already.
    pub fn end_refund(&self, end: &RefundEnd) -> Result<SimulatedOrder, ActionRefused> {
        operator::end(self.world(), end)
    }

    /// Sets how the providers execute refunds from now on.
    pub fn set_refund_settings(&self, settings: RefundSettings) {
        self.world.set_refund_settings(settings);
    }

    /// The balance of every payment.
    #[must_use]
    pub fn balances(&self) -> Vec<Balance> {
        balance::balances(&self.orders())
    }

    /// How much all buyers paid, and how much is refunded.
    #[must_use]
    pub fn money(&self) -> MoneyTotals {
        MoneyTotals::total(&self.balances())
    }

    /// The notifications that are due, signed at this moment. They count as sent: the provider
    /// sends a notification without a
    /// [recorded answer](InProcess::record_answer) again.
    #[must_use]
    pub fn notifications(&self) -> Vec<SignedNotification> {
        notifier::due(self.world())
    }

    /// Records that the shop answered a notification with an HTTP `status` and a `body`.
    pub fn record_answer(&self, notification: &SignedNotification, status: u16, body: &[u8]) {
        let text = String::from_utf8_lossy(body);
        let answer = MerchantAnswer { status: Some(status), text: &text };
        notifier::record_answer(&self.world, notification, answer);
    }

    /// Records that the shop did not answer a notification.
    pub fn record_no_answer(&self, notification: &SignedNotification, reason: &str) {
        let answer = MerchantAnswer { status: None, text: reason };
        notifier::record_answer(&self.world, notification, answer);
    }

    /// The time at which the next notification is due, by the clock plus what
    /// [`InProcess::advance_ms`] added.
    #[must_use]
    pub fn next_notification(&self) -> Option<Millis> {
        self.world.next_due()
    }

    /// Divides the providers' real waits between notifications by `time_scale`; 1 at first.
    pub fn set_time_scale(&self, time_scale: u32) {
        self.world.set_time_scale(time_scale);
    }

    /// Adds a fault, which happens to the next calls, payments or notifications that match it.
    pub fn add_fault(&self, fault: SimulatedFault) {
        self.world.faults().add(fault);
    }

    /// Removes the faults that have not happened yet.
    pub fn clear_faults(&self) {
        self.world.faults().clear();
    }

    /// Lets orders age by `ms` milliseconds. Signatures still carry the clock's time.
    pub fn advance_ms(&self, ms: i64) {
        self.world.advance(ms);
    }

    /// How long until the next notification is due.
    pub(super) fn until_next(&self) -> Option<Duration> {
        let ms = self.world.next_due()?.since(self.world.now());
        Some(Duration::from_millis(ms.max(0).unsigned_abs()))
    }

    /// Waits until a notification may be due before its time.
    pub(super) async fn delivery_woken(&self) {
        self.world.delivery_woken().await;
    }

    pub(super) async fn answer(&self, request: &Request<Bytes>) -> CallOutcome {
        match shop_events::answer(self.shop_events.get(), request).await {
            Some(response) => CallOutcome::Response(response, Duration::ZERO),
            None => dispatch::answer(&self.world, request),
        }
    }

    /// The world after the delayed requests that have arrived by now.
    fn world(&self) -> &World {
        dispatch::execute_late_requests(&self.world);
        &self.world
    }
}

impl Transport for InProcess {
    fn send<'a>(
        &'a self,
        request: Request<Bytes>,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<Response<Bytes>, TransportFailure>> {
        Box::pin(async move {
            match self.answer(&request).await {
                CallOutcome::Response(response, delay) if delay < timeout => {
                    if !delay.is_zero() {
                        tokio::time::sleep(delay).await;
                    }
                    Ok(response)
                }
                CallOutcome::Response(..) => {
                    tokio::time::sleep(timeout).await;
                    Err(TransportFailure::OutcomeUnknown("timed out".to_owned()))
                }
                CallOutcome::Hangup => {
                    Err(TransportFailure::OutcomeUnknown("connection closed".to_owned()))
                }
                CallOutcome::Reset => {
                    Err(TransportFailure::OutcomeUnknown("connection reset".to_owned()))
                }
            }
        })
    }
}
