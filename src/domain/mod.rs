//! What an order is and what may happen to it.
//!
//! **Architecture invariant:** nothing here performs IO, awaits, reads a clock or draws a random
//! number; time is an argument. What is decided here can be tested as a table.
#![deny(
    clippy::float_arithmetic,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::wildcard_enum_match_arm
)]

pub mod address;
pub mod caller;
pub mod channel;
pub mod ids;
pub mod json;
pub mod money;
pub mod order;
pub mod platform;
pub mod product;
pub mod request;
pub mod time;
pub mod unmatched;
pub mod event;
