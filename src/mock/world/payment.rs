//! A payment of an order, and how much of it is refunded.

use serde::{Deserialize, Serialize};

use super::notification::NotificationState;
use super::refund::SimulatedRefund;
use crate::domain::money::Fen;
use crate::domain::order::refund::RefundState;
use crate::domain::time::Millis;

/// The money that a provider took from a buyer for an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SimulatedPayment {
    /// The provider's number.
    pub transaction_id: String,
    /// The amount, in fen.
    pub amount: Fen,
    /// The currency, if it is not CNY: the amount is in its hundredths then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// The buyer that paid: `openid`, `buyer_id`, `buyer_open_id`.
    pub payer: String,
    /// The time of the payment, in whole seconds.
    pub paid_at: Millis,
    /// The notification of the payment.
    #[serde(default, rename = "notice")]
    pub notification: NotificationState,
    /// The refunds of the payment, oldest first.
    #[serde(default)]
    pub refunds: Vec<SimulatedRefund>,
}

impl SimulatedPayment {
    /// How much the provider has refunded, in fen.
    #[must_use]
    pub fn refunded_fen(&self) -> u64 {
        self.sum(|refund| refund.state == RefundState::Success)
    }

    /// How much is being refunded, or waits for an operator, in fen.
    #[must_use]
    pub fn refunding_fen(&self) -> u64 {
        self.sum(|refund| refund.reserves_amount() && refund.state != RefundState::Success)
    }

    /// How much a new refund can still ask for, in fen.
    #[must_use]
    pub fn refundable_fen(&self) -> u64 {
        self.amount.fen().saturating_sub(self.sum(SimulatedRefund::reserves_amount))
    }

    /// Whether a query of WeChat Pay reports the trade as refunded.
    pub(in crate::mock) fn has_refund(&self) -> bool {
        self.refunds.iter().any(SimulatedRefund::reserves_amount)
    }

    /// Whether the provider has refunded all of it.
    pub(in crate::mock) fn is_fully_refunded(&self) -> bool {
        self.refunded_fen() >= self.amount.fen()
    }

    /// How much the provider has refunded by `refund` and all refunds before it, in fen.
    pub(in crate::mock) fn refunded_fen_up_to(&self, refund: &SimulatedRefund) -> u64 {
        let time = |refund: &SimulatedRefund| (refund.refunded_at, refund.requested_at);
        self.sum(|other| other.state == RefundState::Success && time(other) <= time(refund))
    }

    /// The time at which the provider accepted the last refund.
    pub(in crate::mock) fn last_refund_at(&self) -> Option<Millis> {
        self.refunds.iter().map(|refund| refund.requested_at).max()
    }

    /// The refund with this number.
    #[must_use]
    pub fn refund(&self, out_refund_no: &str) -> Option<&SimulatedRefund> {
        self.refunds.iter().find(|refund| refund.out_refund_no == out_refund_no)
    }

    fn sum(&self, counts: impl Fn(&SimulatedRefund) -> bool) -> u64 {
        let counted = self.refunds.iter().filter(|refund| counts(refund));
        counted.fold(0, |sum, refund| sum.saturating_add(refund.amount.fen()))
    }
}
