//! What happens to an order: the only ways in which it changes.

use std::sync::Arc;

use serde_json::Value;

use super::attempt::{Attempt, Material};
use super::payment::{ExternalRefund, PaymentRole, Refund, RefundUpdate};
use crate::domain::ids::TransactionId;
use crate::domain::money::Fen;
use crate::domain::time::Millis;

/// Something that happened to one attempt.
#[derive(Clone, Debug, PartialEq)]
pub enum Transition {
    /// It is about to be sent, and every attempt that its provider has not ended is superseded by
    /// it.
    Opened(Box<Attempt>),
    /// The buyer goes back to it while its provider still takes money for it: every other attempt
    /// that its provider has not ended is superseded instead.
    Offered {
        /// Which attempt.
        n: u32,
    },
    /// Its provider is about to be told to close its trade.
    CloseIntended {
        /// Which attempt: a close is one of every attempt with the same trade.
        n: u32,
    },
    /// Its provider answered the only close of its trade that was sent: the trade is not closed.
    CloseRefused {
        /// Which attempt: what is said holds for every attempt with the same trade.
        n: u32,
    },
    /// A payment came of a trade that no attempt of this order made: it was opened before the
    /// order was known here. The attempt stands for that trade.
    Adopted {
        /// The attempt, which is added.
        attempt: Box<Attempt>,
        /// When the payment became known.
        at: Millis,
        /// The payment.
        receipt: Receipt,
    },
    /// Two verified messages disagreed about a payment, and its provider, which was asked, says
    /// what is so.
    Corrected {
        /// Which attempt was paid.
        n: u32,
        /// The payment.
        receipt: Receipt,
    },
    /// Nothing of it left this machine.
    NotSent {
        /// Which attempt.
        n: u32,
    },
    /// The provider, or our own signature, made it payable: it is handed out, and the one that is
    /// offered.
    Answered {
        /// Which attempt.
        n: u32,
        /// What the buyer pays with.
        material: Material,
        /// Until when it is handed out again.
        valid_until: Millis,
    },
    /// The provider refused it.
    Refused {
        /// Which attempt.
        n: u32,
        /// The provider's code.
        code: String,
        /// The provider's message.
        message: String,
    },
    /// The provider refused it because it has another trade under its number.
    NumberInUse {
        /// Which attempt.
        n: u32,
        /// The provider's code.
        code: String,
    },
    /// What became of the call is unknown.
    OutcomeUnknown {
        /// Which attempt.
        n: u32,
        /// What happened, for the operator.
        reason: String,
    },
    /// It is sent again after its provider refused it or did not know it, or after it did not
    /// leave: what was said no longer holds.
    Resending {
        /// Which attempt.
        n: u32,
    },
    /// Its provider was asked about it, or told to close it.
    TradeQueried {
        /// Which attempt: what is said holds for every attempt with the same trade.
        n: u32,
        /// When.
        at: Millis,
        /// What the provider said.
        said: TradeUpdate,
    },
    /// The shop wants no payment any more: every attempt that its provider has not ended is
    /// superseded.
    Closed,
    /// Money is to go back.
    RefundRequested {
        /// Of which payment.
        transaction_id: TransactionId,
        /// The refund.
        refund: Box<Refund>,
    },
    /// A refund is about to be sent to its provider.
    RefundSending {
        /// Which refund.
        out_refund_no: String,
    },
    /// Its provider was told, or asked, of a refund.
    RefundQueried {
        /// Which refund.
        out_refund_no: String,
        /// When.
        at: Millis,
        /// What it said.
        said: RefundUpdate,
    },
    /// Money went back that nobody here sent: in the provider's console.
    RefundedExternally {
        /// Of which payment.
        transaction_id: TransactionId,
        /// The refund; none when only its existence is known.
        refund: Option<Box<ExternalRefund>>,
        /// What went back of the payment in all, as its provider says now.
        all: Option<Fen>,
        /// When it became known.
        at: Millis,
    },
}

/// What a provider said of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub enum TradeUpdate {
    /// Nothing that can be believed.
    NoAnswer,
    /// It has no such trade. While the buyer may hold material that is no end of it: Alipay makes
    /// the trade when the buyer acts.
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

/// Which payments go back without anybody asking for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AutoRefundPolicy {
    /// A second payment of a paid order.
    pub duplicate: bool,
    /// A payment after the order was closed.
    pub late: bool,
}

/// A payment as its provider tells of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Receipt {
    /// The provider's number.
    pub transaction_id: TransactionId,
    /// The order's amount at the provider, in fen.
    pub total_fee: Fen,
    /// When it was paid.
    pub paid_at: Millis,
    /// The payer, if told.
    pub openid: Option<String>,
    /// Whether app, merchant and currency are the order's.
    pub matches_order: bool,
    /// Whether something of it went back, nobody here knows how much.
    pub refunded: bool,
    /// Whether it goes back when it is a duplicate, or late.
    pub auto_refund: AutoRefundPolicy,
    /// The provider's message, as it was verified.
    pub message: Arc<Value>,
}

impl AutoRefundPolicy {
    /// Whether a payment of this role goes back.
    pub(in crate::domain) fn of(self, role: PaymentRole) -> bool {
        match role {
            PaymentRole::Duplicate => self.duplicate,
            PaymentRole::Late => self.late,
            PaymentRole::Winning | PaymentRole::Mismatch => false,
        }
    }
}
