//! The tower layer: it answers the payment operations and forwards every other request unchanged.
//!
//! A request that is not a payment operation goes to the inner service in place: unboxed, unread,
//! without a clone of the inner service.

#[expect(clippy::module_inception, reason = "the five files of a middleware")]
mod layer;
mod service;
#[cfg(feature = "sidecar")]
mod deferred;
mod future;
mod body;
mod cors;
mod qrcode;
mod query;
mod handler;

pub use body::ResponseBody;
#[cfg(feature = "sidecar")]
pub use deferred::{DeferredPayments, DeferredSettings, PaymentSlot};
pub use future::ResponseFuture;
pub use layer::PaymentLayer;
pub use service::PaymentService;
