//! What several test modules share.

#[cfg(feature = "mock")]
pub(crate) mod crashing;
pub(crate) mod ear;
pub(crate) mod shop;
