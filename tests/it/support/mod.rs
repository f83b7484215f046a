//! What several test modules share.

pub(crate) mod shop;
#[cfg(feature = "mock")]
pub(crate) mod crashing_store;
pub(crate) mod endpoint;
pub(crate) mod fixtures;
#[cfg(feature = "sidecar")]
pub(crate) mod log;
pub(crate) mod notifications;
pub(crate) mod payment_layer;
pub(crate) mod refunds;
pub(crate) mod requests;
pub(crate) mod webhook;
