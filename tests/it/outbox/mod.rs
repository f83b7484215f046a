//! The outbox: events that a handler or the webhook of the shop gets at least once.
#![cfg(all(feature = "mock", feature = "wxpay", feature = "alipay"))]

mod background;
mod delivery;
mod handlers;
mod reader;
mod webhook;
