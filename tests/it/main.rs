//! One integration binary: each module drives the library or the program from outside.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod alipay;
mod caller;
mod config;
mod crashes;
mod create;
mod guard;
mod layer;
mod mock;
mod never_twice;
mod paid;
mod pricing;
mod providers;
mod readme;
mod returned;
mod sidecar;
mod simulation;
mod store;
mod support;
mod tidy;
mod told;
