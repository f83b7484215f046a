//! HTTP to the merchant's own services: the pricing service and the webhook endpoint.

pub(crate) mod client;
pub(crate) mod webhook;
