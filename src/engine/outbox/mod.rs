//! The outbox: paygate sends every event to the shop until the shop accepts it, across any crash.

pub(super) mod delivery;
pub(super) mod listeners;
pub(super) mod order_event;
pub(super) mod payload;
pub(super) mod reader;
mod settle;
