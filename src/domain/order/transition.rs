//! The transitions of an order: everything that can happen to it.

use std::sync::Arc;

use serde_json::Value;

use super::attempt::{Attempt, Material};
use super::payment::PaymentRole;
use super::refund::{ExternalRefund, Refund, RefundUpdate};
use crate::domain::ids::TransactionId;
use crate::domain::money::Fen;
use crate::domain::time::Millis;
use crate::domain::variant_names::variant_names;

/// One thing that happened to an order, recorded by [`Order::apply`](super::Order::apply).
#[derive(Clone, Debug, PartialEq)]
pub enum Transition {
    /// A new attempt is about to be sent. It supersedes every attempt that its provider has not
    /// ended.
    Opened(Box<Attempt>),
    /// The buyer returns to an earlier attempt that can still be paid. It supersedes every other
    /// attempt that its provider has not ended.
    Offered {
        /// The attempt's number.
        n: u32,
    },
    /// Paygate is about to ask the provider to close the attempt's trade.
    CloseIntended {
        /// The attempt's number; the close holds for every attempt with the same trade.
        n: u32,
    },
    /// The provider answered the only close that was sent: the trade is not closed.
    CloseRefused {
        /// The attempt's number; the answer holds for every attempt with the same trade.
        n: u32,
    },
    /// The buyer paid a trade that no attempt of this order opened: another program opened it
    /// under the same number. The attempt stands for that trade.
    Adopted {
        /// The attempt, which is added.
        attempt: Box<Attempt>,
        /// When paygate learned of the payment.
        at: Millis,
        /// The payment.
        receipt: Receipt,
    },
    /// Two verified messages disagreed about a payment, and the provider, queried, settled it.
    Corrected {
        /// The number of the attempt that was paid.
        n: u32,
        /// The payment.
        receipt: Receipt,
    },
    /// No byte of the attempt left this machine.
    NotSent {
        /// The attempt's number.
        n: u32,
    },
    /// The provider, or our own signature, made the attempt payable: paygate hands it out.
    Answered {
        /// The attempt's number.
        n: u32,
        /// What the buyer pays with.
        material: Material,
        /// Until when paygate hands it out again.
        valid_until: Millis,
    },
    /// The provider refused the attempt.
    Refused {
        /// The attempt's number.
        n: u32,
        /// The provider's code.
        code: String,
        /// The provider's message.
        message: String,
    },
    /// The provider refused the attempt because it has another trade under the number.
    NumberInUse {
        /// The attempt's number.
        n: u32,
        /// The provider's code.
        code: String,
    },
    /// The outcome of the call that opens the attempt is unknown.
    OutcomeUnknown {
        /// The attempt's number.
        n: u32,
        /// The cause, for the operator.
        reason: String,
    },
    /// Paygate sends the attempt again, after its provider refused it or did not have it, or after
    /// it never left.
    Resending {
        /// The attempt's number.
        n: u32,
    },
    /// The provider answered a query, a close or a notification about the attempt's trade.
    TradeQueried {
        /// The attempt's number; the answer holds for every attempt with the same trade.
        n: u32,
        /// When.
        at: Millis,
        /// The provider's answer.
        update: TradeUpdate,
    },
    /// The shop closed the order. That supersedes every attempt that its provider has not ended.
    Closed,
    /// The shop, or paygate itself, requested a refund.
    RefundRequested {
        /// The payment.
        transaction_id: TransactionId,
        /// The refund.
        refund: Box<Refund>,
    },
    /// A refund is about to be sent to its provider.
    RefundSending {
        /// The refund's number.
        out_refund_no: String,
    },
    /// The provider answered a refund, or a query about it.
    RefundQueried {
        /// The refund's number.
        out_refund_no: String,
        /// When.
        at: Millis,
        /// The provider's answer.
        update: RefundUpdate,
    },
    /// The provider reports a refund that paygate did not send.
    RefundedExternally {
        /// The payment.
        transaction_id: TransactionId,
        /// The refund.
        refund: Box<ExternalRefund>,
        /// When paygate learned of it.
        at: Millis,
    },
}

variant_names! {
    Transition {
        Transition::Opened(_) => "opened",
        Transition::Offered { .. } => "offered",
        Transition::CloseIntended { .. } => "close_intended",
        Transition::CloseRefused { .. } => "close_refused",
        Transition::Adopted { .. } => "adopted",
        Transition::Corrected { .. } => "corrected",
        Transition::NotSent { .. } => "not_sent",
        Transition::Answered { .. } => "answered",
        Transition::Refused { .. } => "refused",
        Transition::NumberInUse { .. } => "number_in_use",
        Transition::OutcomeUnknown { .. } => "outcome_unknown",
        Transition::Resending { .. } => "resending",
        Transition::Closed => "closed",
        Transition::RefundRequested { .. } => "refund_requested",
        Transition::RefundSending { .. } => "refund_sending",
        @ Transition::TradeQueried { update, .. } => update: TradeUpdate,
        @ Transition::RefundQueried { update, .. } => update: RefundUpdate,
        @ Transition::RefundedExternally { refund, .. } => refund: ExternalRefund,
    }
}

/// What a provider reports of a trade.
#[derive(Clone, Debug, PartialEq)]
pub enum TradeUpdate {
    /// Nothing that can be believed.
    NoAnswer,
    /// It has no such trade. While the buyer may hold material, the trade may still come: Alipay
    /// makes it when the buyer acts.
    NotFound {
        /// The `Date` of the answer.
        date: Option<Millis>,
    },
    /// The trade waits for its buyer.
    Unpaid,
    /// The trade is closed and was never paid.
    Closed,
    /// The trade is paid.
    Paid(Receipt),
}

variant_names! {
    TradeUpdate {
        TradeUpdate::NoAnswer => "trade_no_answer",
        TradeUpdate::NotFound { .. } => "trade_not_found",
        TradeUpdate::Unpaid => "trade_unpaid",
        TradeUpdate::Closed => "trade_closed",
        TradeUpdate::Paid(_) => "trade_paid",
    }
}

/// Which payments paygate refunds without a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AutoRefundPolicy {
    /// A second payment of a paid order.
    pub duplicate: bool,
    /// A payment after the order was closed.
    pub late: bool,
}

impl AutoRefundPolicy {
    /// Whether paygate refunds a payment of this role.
    pub(super) fn applies_to(self, role: PaymentRole) -> bool {
        match role {
            PaymentRole::Duplicate => self.duplicate,
            PaymentRole::Late => self.late,
            PaymentRole::Winning | PaymentRole::Mismatch => false,
        }
    }
}

/// A payment as its provider reports it.
#[derive(Clone, Debug, PartialEq)]
pub struct Receipt {
    /// The provider's number.
    pub transaction_id: TransactionId,
    /// The order's amount at the provider, in fen.
    pub total_fee: Fen,
    /// When the buyer paid.
    pub paid_at: Millis,
    /// The payer, if the provider reports it.
    pub openid: Option<String>,
    /// Whether app, merchant and currency are the order's.
    pub matches_order: bool,
    /// Whether the provider reports a refund of it, without an amount.
    pub refunded: bool,
    /// Whether paygate refunds it when it is a duplicate, or late.
    pub auto_refund: AutoRefundPolicy,
    /// The provider's message, after its signature was verified.
    pub message: Arc<Value>,
}
