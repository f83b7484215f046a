//! The tower layer: it answers the payment operations and forwards every other request unchanged.
//!
//! A request that is not a payment operation goes to the inner service in place: unboxed, unread,
//! without a clone of the inner service.

#[expect(clippy::module_inception, reason = "the five files of a middleware")]
mod layer;
mod service;
mod future;
mod body;
mod cors;
mod qrcode;
mod query;
mod handler;

pub use body::ResponseBody;
pub use future::ResponseFuture;
pub use layer::PaymentLayer;
pub use service::PaymentService;
