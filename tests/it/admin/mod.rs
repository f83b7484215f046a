//! The admin listener of the sidecar, and its operations.
#![cfg(feature = "sidecar")]

mod listener;
mod operations;
mod refunds;
