//! What requests for one order know of each other: the leader's request and how far its work is.

use super::created::Created;
use crate::domain::product::PaymentMethod;
use crate::domain::request::Fingerprint;
use crate::engine::order_lock::{OrderGuard, OrderLocks};
use crate::error::Error;

/// What a `createPayment` request asks for: how the buyer pays, and what the order is.
#[derive(Clone, Debug)]
pub(in crate::engine) struct RequestKey {
    pub(in crate::engine) method: PaymentMethod,
    pub(in crate::engine) fingerprint: Fingerprint,
}

/// How far the work on an order is.
#[derive(Clone, Debug, Default)]
pub(in crate::engine) enum Progress {
    /// Whose number it is, is not known yet.
    #[default]
    Claiming,
    /// The number is an order's with this fingerprint: a request with another one need not wait.
    Claimed(Box<Fingerprint>),
    /// The work ended.
    Done(Box<Result<Created, Error>>),
}

/// The locks of the engine's orders.
pub(in crate::engine) type Locks = OrderLocks<RequestKey, Progress>;

/// The lock of one order: the right to change it and to send it to its provider.
pub(in crate::engine) type LockGuard = OrderGuard<RequestKey, Progress>;
