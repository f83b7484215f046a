//! An order: what is bought, every attempt to have it paid, and every payment and refund.

pub mod admission;
mod apply;
mod apply_payment;
mod apply_refund;
pub mod attempt;
mod handed_out;
pub mod next_attempt;
pub mod open_outcome;
pub mod payment;
pub mod record;
pub mod refund;
mod state;
pub mod transition;

pub use state::{Flags, Order, OrderClient, OrderStatus};
pub use transition::{AutoRefundPolicy, Receipt, TradeUpdate, Transition};
