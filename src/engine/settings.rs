//! What an engine is configured to do, besides its store and its providers.

use std::time::Duration;

use crate::domain::notify_url::MountPath;
use crate::domain::order::AutoRefundPolicy;

/// What the engine does when the buyer of an unpaid order chooses another payment method
/// (`PAYGATE_SWITCH`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Switching {
    /// It closes what can be paid, or supersedes it where its provider cannot close it, and opens
    /// another attempt.
    #[default]
    Close,
    /// It refuses the other method while the first one can be paid.
    Reject,
}

#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// The path prefix of the payment operations.
    pub(super) mount: MountPath,
    /// Where providers reach the mount, without a trailing slash: `https://shop.example.com/pay`.
    pub(super) notify_base: String,
    /// Expiry of an attempt when the request names none, in milliseconds.
    pub(super) order_ttl_ms: i64,
    /// The longest that one provider call may take.
    pub(super) call_timeout: Duration,
    /// The longest that all provider calls of one request may take.
    pub(super) call_budget: Duration,
    /// The longest that a shutdown waits for what is in flight.
    pub(super) shutdown_grace: Duration,
    pub(super) switching: Switching,
    pub(super) auto_refund: AutoRefundPolicy,
    /// Whether the providers are simulated: then a buyer's private address is accepted.
    pub(super) simulated: bool,
}
