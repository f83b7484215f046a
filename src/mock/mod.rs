//! (in the making)
pub mod keys;
mod sign;
