//! The simulated providers without a socket.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};

use super::buyer::{self, Act, Declined, Purchase};
use super::notifier;
use super::notifier::Notification;
use super::operator;
use super::operator::{ConsoleRefund, RefundEnd};
use super::world::balance;
use super::world::balance::{Balance, Money};
use super::world::faults::Fault;
use super::world::ledger::Order;
use super::world::notice::Answer;
use super::world::refund::Refunding;
use super::world::{Outcome, Providers};
use crate::clock::Clock;
use crate::domain::time::Millis;
use crate::provider::{BoxFuture, Transport, TransportFailure};

/// Both simulated providers, called as functions: for tests on a paused clock, and a handle to a
/// running [`Mock`](super::Mock). Clones are the same providers.
#[derive(Clone, Debug)]
pub struct InProcess {
    providers: Arc<Providers>,
}

impl InProcess {
    /// The providers with the ledger in the file at `ledger`, or in memory.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or written, holds something else, or is another mock's.
    pub fn open(ledger: Option<&Path>, clock: Arc<dyn Clock>) -> io::Result<InProcess> {
        Ok(InProcess { providers: Arc::new(Providers::open(ledger, clock)?) })
    }

    /// Every order that the providers know.
    #[must_use]
    pub fn orders(&self) -> Vec<Order> {
        self.providers.catch_up();
        self.providers.orders()
    }

    /// How many calls of a kind came in (`wxpay.create`, `alipay.query`), whatever became of them.
    #[must_use]
    pub fn calls(&self, kind: &str) -> u64 {
        self.providers.calls().get(kind).copied().unwrap_or_default()
    }

    /// A buyer pays.
    ///
    /// # Errors
    ///
    /// When the provider would turn the buyer away.
    pub fn pay(&self, purchase: &Purchase) -> Result<Order, Declined> {
        self.providers.catch_up();
        buyer::act(&self.providers, purchase, Act::Pay)
    }

    /// A buyer opens the cashier and does not pay.
    ///
    /// # Errors
    ///
    /// When the provider would turn the buyer away.
    pub fn scan(&self, purchase: &Purchase) -> Result<Order, Declined> {
        self.providers.catch_up();
        buyer::act(&self.providers, purchase, Act::Scan)
    }

    /// A buyer opens the cashier and enters a password, for up to a minute.
    ///
    /// # Errors
    ///
    /// When the provider would turn the buyer away.
    pub fn begin(&self, purchase: &Purchase) -> Result<Order, Declined> {
        self.providers.catch_up();
        buyer::act(&self.providers, purchase, Act::Begin)
    }

    /// A buyer opens the cashier and turns away.
    ///
    /// # Errors
    ///
    /// When the provider would turn the buyer away.
    pub fn cancel(&self, purchase: &Purchase) -> Result<Order, Declined> {
        self.providers.catch_up();
        buyer::act(&self.providers, purchase, Act::Cancel)
    }

    /// Nobody pays the order in time. It stays as unpayable as if its expiry had passed.
    ///
    /// # Errors
    ///
    /// When there is no such order.
    pub fn expire(&self, purchase: &Purchase) -> Result<Order, Declined> {
        self.providers.catch_up();
        buyer::expire(&self.providers, purchase)
    }

    /// Somebody sends money back in the provider's console.
    ///
    /// # Errors
    ///
    /// When nobody paid it, or not so much is left of the payment.
    pub fn refund_in_console(&self, refund: &ConsoleRefund) -> Result<Order, Declined> {
        self.providers.catch_up();
        operator::refund(&self.providers, refund)
    }

    /// A refund that is `PROCESSING` or `ABNORMAL` ends now, and the shop is told.
    ///
    /// # Errors
    ///
    /// When there is no such refund, or it has ended already.
    pub fn end_refund(&self, end: &RefundEnd) -> Result<Order, Declined> {
        self.providers.catch_up();
        operator::end(&self.providers, end)
    }

    /// How refunds go from now on.
    pub fn set_refunding(&self, refunding: Refunding) {
        self.providers.set_refunding(refunding);
    }

    /// What became of the money of every payment.
    #[must_use]
    pub fn balances(&self) -> Vec<Balance> {
        balance::balances(&self.orders())
    }

    /// What all buyers paid, and what they have back.
    #[must_use]
    pub fn money(&self) -> Money {
        Money::total(&self.balances())
    }

    /// The notifications that are due, signed at this moment. They count as sent: what is not
    /// [`answered`](InProcess::answered) comes again, as it does from the providers.
    #[must_use]
    pub fn notifications(&self) -> Vec<Notification> {
        self.providers.catch_up();
        notifier::due(&self.providers)
    }

    /// The shop answered a notification with an HTTP `status` and a `body`.
    pub fn answered(&self, notification: &Notification, status: u16, body: &[u8]) {
        let text = String::from_utf8_lossy(body);
        let answer = Answer { status: Some(status), text: &text };
        notifier::answered(&self.providers, notification, answer);
    }

    /// A notification had no answer.
    pub fn unanswered(&self, notification: &Notification, why: &str) {
        let answer = Answer { status: None, text: why };
        notifier::answered(&self.providers, notification, answer);
    }

    /// When the next notification is due, by the clock and what it was
    /// [advanced](InProcess::advance_ms).
    #[must_use]
    pub fn next_notification(&self) -> Option<Millis> {
        self.providers.next_due()
    }

    /// Divides the providers' real waits between notifications by `hurry`; 1 at first.
    pub fn hurry(&self, hurry: u32) {
        self.providers.set_hurry(hurry);
    }

    /// Something is to go wrong.
    pub fn add_fault(&self, fault: Fault) {
        self.providers.faults().add(fault);
    }

    /// Nothing more is to go wrong.
    pub fn clear_faults(&self) {
        self.providers.faults().clear();
    }

    /// Lets orders age by `ms` milliseconds. The time that signatures carry stays the clock's.
    pub fn advance_ms(&self, ms: i64) {
        self.providers.advance(ms);
    }

    /// How long until the next notification is due.
    pub(super) fn until_next(&self) -> Option<Duration> {
        let ms = self.providers.next_due()?.since(self.providers.now());
        Some(Duration::from_millis(ms.max(0).unsigned_abs()))
    }

    /// Waits until there may be a notification before its time.
    pub(super) async fn woken(&self) {
        self.providers.woken().await;
    }

    pub(super) fn answer(&self, request: &Request<Bytes>) -> Outcome {
        self.providers.answer(request)
    }
}

impl Transport for InProcess {
    fn send<'a>(
        &'a self,
        request: Request<Bytes>,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<Response<Bytes>, TransportFailure>> {
        Box::pin(async move {
            match self.answer(&request) {
                Outcome::Response(response, delay) if delay < timeout => {
                    if !delay.is_zero() {
                        tokio::time::sleep(delay).await;
                    }
                    Ok(response)
                }
                Outcome::Response(..) => {
                    tokio::time::sleep(timeout).await;
                    Err(TransportFailure::OutcomeUnknown("timed out".to_owned()))
                }
                Outcome::Hangup => {
                    Err(TransportFailure::OutcomeUnknown("connection closed".to_owned()))
                }
                Outcome::Reset => {
                    Err(TransportFailure::OutcomeUnknown("connection reset".to_owned()))
                }
            }
        })
    }
}
