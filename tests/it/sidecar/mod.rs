//! The sidecar's HTTP side, in bytes: what goes through, what is refused, how it ends.
#![cfg(feature = "sidecar")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod drain;
mod framing;
mod limits;
mod passing;
pub(crate) mod rig;
mod streaming;
mod waiting;
