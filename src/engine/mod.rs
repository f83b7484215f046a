//! The payment engine: IO in the right order.
//!
//! **Architecture invariant:** an order is durable before a byte of it goes to a provider, and the
//! outcome is durable before the caller is answered. What was sent is finished and recorded even
//! when its client leaves, and [`Engine::shutdown`] awaits it.
//!
//! Its parts: `commit` loads and changes orders, `order_lock` lets one task at a time work on an
//! order, `providers` calls the providers, `failures` names what a failure means. On top of them
//! each operation has a file: `create`, `query`, `close_order`, `refund`, `notification`; in the
//! background `reconcile` and `outbox` work.

mod builder;
mod circuit_breaker;
mod claim;
mod close_intent;
mod close_order;
mod commit;
mod create;
mod failures;
mod in_flight;
mod locked;
mod notification;
mod open_outcome;
mod order_lock;
mod order_log;
mod outbox;
mod parts;
mod progress;
mod providers;
mod query;
mod reconcile;
mod refund;
mod replay_cache;
mod settings;
mod start_error;
mod startup;
mod stop;
mod superseded;
mod tasks;
mod unmatched;
mod verified_payment;
mod waiters;

pub use builder::Builder;
pub use create::created::Created;
#[cfg(feature = "sidecar")]
pub(crate) use outbox::delivery::no_such_event;
pub use outbox::listeners::{Deliver, Handled};
pub use outbox::order_event::{EventRefund, OrderEvent};
pub use outbox::reader::EventReader;
pub use parts::Engine;
pub use query::{Queried, Query};
pub use refund::{Refunded, Refunds};
pub use settings::Switching;
pub use start_error::StartError;

pub use crate::domain::ids::OrderNumber;
pub use crate::domain::order::AutoRefundPolicy;
pub use crate::domain::order::refund::RefundRequest;
