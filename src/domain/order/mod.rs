//! An order: what is bought, every attempt to have it paid, and every payment and refund.

pub(crate) mod admission;
mod apply;
mod apply_payment;
mod apply_refund;
pub(crate) mod attempt;
mod handed_out;
pub(crate) mod next_attempt;
pub(crate) mod open_outcome;
pub(crate) mod payment;
pub(crate) mod record;
pub(crate) mod refund;
mod state;
pub(crate) mod transition;
pub(crate) mod unknown_members;

#[cfg(test)]
mod tests;

pub use state::{Flags, Order, OrderClient, OrderStatus};
pub use transition::{AutoRefundPolicy, Receipt, TradeUpdate, Transition};
