//! What every store promises, and what the one on disk promises besides.
#![expect(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

mod broken;
mod contract;
mod fence;
mod orders;
mod outbox;
mod record;
pub(crate) mod unmatched;
#[cfg(feature = "sqlite")]
mod migrated;
#[cfg(all(feature = "sqlite", unix))]
mod copies;
#[cfg(all(feature = "sqlite", unix))]
mod damaged;
#[cfg(all(feature = "sqlite", unix))]
mod foreign_log;
#[cfg(all(feature = "sqlite", unix))]
mod lost_log;
#[cfg(all(feature = "sqlite", unix))]
mod moved;
#[cfg(feature = "sqlite")]
mod newer;
#[cfg(all(feature = "sqlite", feature = "mock"))]
mod served;
#[cfg(feature = "sqlite")]
mod sqlite;
