//! One integration binary: each module drives the library or the program from outside.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]
#![allow(clippy::large_futures, reason = "a test moves its futures once")]

// The operations, as a shop sees them.
mod create;
mod switch;
mod notify;
mod query;
mod outbox;
mod refund;
mod close;
mod log;
mod reconcile;
mod admin;

// The parts.
mod caller;
mod clock;
mod config;
mod guard;
mod layer;
mod pricing;
mod sidecar;
mod store;

// The providers, and the simulated ones.
mod alipay;
mod mock;
mod provider;
mod wxpay;

// Everything that can go wrong at once.
mod crash;
mod simulation;

// The repository itself.
mod public_api;
mod manual;
mod tidy;

mod support;
