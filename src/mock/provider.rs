//! What the mock asks of a simulated provider: its calls, its notifications, its rules.

use bytes::Bytes;
use http::{HeaderMap, Request};

use super::purchase::{ActionRefused, PaymentTarget};
use super::reply::UnsignedReply;
use super::world::World;
use super::world::faults::{ProviderOperation, Refuse};
use super::world::notification::{InvalidSignature, MerchantAnswer};
use super::world::notification_content::NotificationContent;
use super::world::order::SimulatedOrder;
use super::world::refund::RefundSettings;
use crate::domain::channel::ProviderId;
use crate::domain::money::Fen;
use crate::domain::order::refund::RefundState;
use crate::domain::time::Millis;

/// A simulated provider: its protocol and its rules. Its orders are in the [`World`].
pub(super) trait SimulatedProvider: Sync {
    /// The provider that it simulates.
    fn id(&self) -> ProviderId;

    /// Whether the provider serves `path`, by some HTTP method.
    fn has_path(&self, path: &str) -> bool;

    /// The operation that `request` calls; `None` where the provider serves no such request.
    fn operation(&self, request: &Request<Bytes>) -> Option<ProviderOperation>;

    /// The merchant's order number in `request`.
    fn order_number(&self, request: &Request<Bytes>) -> Option<String>;

    /// Executes `request`, whose [operation](SimulatedProvider::operation) is not `None`.
    fn act(&self, world: &World, request: &Request<Bytes>) -> Box<dyn UnsignedReply>;

    /// Refuses `request` without executing it.
    fn refuse(&self, request: &Request<Bytes>, reason: RefusalReason<'_>)
    -> Box<dyn UnsignedReply>;

    /// The headers, signature included, and the body of a notification.
    fn notification(
        &self,
        content: NotificationContent<'_>,
        signing: SigningOptions,
    ) -> (HeaderMap, String);

    /// The waits between the tries of a notification, in milliseconds.
    fn retry_waits_ms(&self) -> &'static [i64];

    /// Whether the provider accepts `answer` as the acknowledgement of a notification.
    fn acknowledges(&self, answer: MerchantAnswer<'_>) -> bool;

    /// The time at which the provider closes `order` while it is unpaid.
    fn closes_at(&self, order: &SimulatedOrder) -> Millis;

    /// Opens the cashier for the order of `target`, which may be unknown to the provider before.
    fn open_cashier(
        &self,
        existing: Option<SimulatedOrder>,
        target: &PaymentTarget,
        visit: CashierVisit<'_>,
    ) -> Result<SimulatedOrder, ActionRefused>;

    /// The order in a text that the merchant signed and gave to the buyer without calling the
    /// provider.
    fn signed_order(&self, text: &str, now: Millis) -> Result<PaymentTarget, ActionRefused>;

    /// Whether its payments have a currency.
    fn has_currencies(&self) -> bool;

    /// The buyer that pays where neither the order nor the purchase names one.
    fn default_payer(&self) -> &'static str;

    /// The final state of a refund that a fault or an operator ends as `state`.
    fn refund_final_state(&self, state: RefundState) -> RefundState;

    /// How the provider executes a new refund of `order`.
    fn refund_plan(
        &self,
        order: &SimulatedOrder,
        request: &RequestedRefund,
        conditions: RefundConditions,
    ) -> RefundPlan;

    /// Whether the provider can notify of a refund in the XML of its older version.
    fn has_xml_notifications(&self) -> bool;
}

/// Why a provider refuses a call that it does not execute.
#[derive(Clone, Copy, Debug)]
pub(super) enum RefusalReason<'a> {
    /// A fault names the code and the message.
    Requested(&'a Refuse),
    /// The merchant's account has not enough money for the refund.
    InsufficientBalance,
    /// The last refund of the payment was too short a time ago.
    RefundTooSoon,
}

/// The time and the validity of a notification's signature.
#[derive(Clone, Copy, Debug)]
pub(super) struct SigningOptions {
    /// The clock's time.
    pub(super) signed_at: Millis,
    pub(super) invalid_signature: Option<InvalidSignature>,
}

/// A buyer that opens the cashier.
#[derive(Clone, Copy, Debug)]
pub(super) struct CashierVisit<'a> {
    pub(super) payer: Option<&'a str>,
    pub(super) now: Millis,
}

/// A refund that a merchant or an operator requests.
#[derive(Clone, Debug)]
pub(super) struct RequestedRefund {
    pub(super) out_refund_no: String,
    pub(super) amount: Fen,
    pub(super) reason: Option<String>,
    /// Where WeChat Pay notifies of it. Alipay notifies where it notified of the payment.
    pub(super) notify_url: Option<String>,
    pub(super) from_console: bool,
    pub(super) requested_at: Millis,
}

/// The settings and the final state of a new refund.
#[derive(Clone, Copy, Debug)]
pub(super) struct RefundConditions {
    pub(super) settings: RefundSettings,
    pub(super) final_state: RefundState,
}

/// How a provider executes a new refund.
#[derive(Clone, Debug)]
pub(super) struct RefundPlan {
    /// How long it takes, in milliseconds.
    pub(super) takes_ms: u32,
    /// The provider's number of it.
    pub(super) refund_id: Option<String>,
    /// Where the provider notifies of it; `None` where it does not.
    pub(super) notify_url: Option<String>,
}
