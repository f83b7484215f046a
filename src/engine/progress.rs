//! What requests for one order know of each other: the leader's request and how far its work is.

use super::create::created::Created;
use super::order_lock::{OrderGuard, OrderLocks};
use crate::domain::product::PaymentMethod;
use crate::domain::request::Fingerprint;
use crate::error::Error;

/// What a `createPayment` request asks for: how the buyer pays, and what the order is.
#[derive(Clone, Debug)]
pub(super) struct RequestKey {
    pub(super) method: PaymentMethod,
    pub(super) fingerprint: Fingerprint,
}

/// How far the work on an order is.
#[derive(Clone, Debug, Default)]
pub(super) enum Progress {
    /// It is not known yet whether the store holds an order with this number.
    #[default]
    Claiming,
    /// The number is an order's with this fingerprint: a request with another one need not wait.
    Claimed(Box<Fingerprint>),
    /// The work ended.
    Done(Box<Result<Created, Error>>),
}

/// The locks of the engine's orders.
pub(super) type Locks = OrderLocks<RequestKey, Progress>;

/// The lock of one order: the right to change it and to send it to its provider.
pub(super) type LockGuard = OrderGuard<RequestKey, Progress>;
