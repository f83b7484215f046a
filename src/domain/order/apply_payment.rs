//! Records a payment: what it is to its order, and what the order becomes by it.

use super::payment::{Payment, PaymentRole};
use super::state::{Order, OrderStatus};
use super::transition::Receipt;
use crate::domain::time::Millis;

impl Order {
    /// Adds a payment, once.
    pub(super) fn record_payment(&mut self, n: u32, at: Millis, receipt: Receipt) {
        if self.payments.iter().any(|known| known.transaction_id == receipt.transaction_id) {
            return;
        }
        let role = self.role_of(&receipt);
        self.apply_role(role);
        self.payments.push(Payment {
            attempt: n,
            transaction_id: receipt.transaction_id,
            total_fee: receipt.total_fee,
            paid_at: receipt.paid_at,
            openid: receipt.openid,
            discovered_at: at,
            role,
            auto_refund: receipt.auto_refund.applies_to(role),
            refund_unknown: receipt.refunded,
            reported_refund_total: None,
            unidentified_since: None,
            refunds: Vec::new(),
        });
        self.recompute_status();
    }

    /// Compares a payment with its order: what it is to the order, discovered now.
    fn role_of(&self, receipt: &Receipt) -> PaymentRole {
        let is_paid = self.winning_payment().is_some();
        let is_price = receipt.total_fee == self.terms.total_fee;
        match self.status {
            _ if !receipt.matches_order || !(is_price || is_paid) => PaymentRole::Mismatch,
            OrderStatus::Open => PaymentRole::Winning,
            OrderStatus::Closed => PaymentRole::Late,
            OrderStatus::Paid | OrderStatus::PartRefunded | OrderStatus::Refunded => {
                PaymentRole::Duplicate
            }
        }
    }

    fn apply_role(&mut self, role: PaymentRole) {
        match role {
            PaymentRole::Winning => {
                self.status = OrderStatus::Paid;
                self.supersede();
            }
            PaymentRole::Duplicate => self.flags.duplicate_paid = true,
            PaymentRole::Late => self.flags.late_paid = true,
            PaymentRole::Mismatch => self.flags.mismatch = true,
        }
    }

    /// Replaces what is recorded of a payment by what its provider answered when it was queried. A
    /// mismatch that matches after all becomes a payment of the order; any other payment keeps its
    /// role, which the shop knows, with the corrected amount.
    pub(super) fn correct_payment(&mut self, n: u32, receipt: Receipt) -> Option<()> {
        let id = receipt.transaction_id.clone();
        let known = self.payments.iter().position(|payment| payment.transaction_id == id)?;
        let was = self.payments.get(known)?;
        let judged = self.role_of(&receipt);
        let is_resolved = was.role == PaymentRole::Mismatch && judged != PaymentRole::Mismatch;
        if !is_resolved && was.total_fee == receipt.total_fee {
            return None;
        }
        let role = if is_resolved { judged } else { was.role };
        if is_resolved {
            self.apply_role(role);
        }
        let payment = self.payments.get_mut(known)?;
        payment.attempt = n;
        payment.total_fee = receipt.total_fee;
        payment.paid_at = receipt.paid_at;
        payment.role = role;
        payment.auto_refund = receipt.auto_refund.applies_to(role);
        payment.openid = receipt.openid.or_else(|| payment.openid.take());
        payment.refund_unknown |= receipt.refunded && payment.refunds.is_empty();
        self.recompute_status();
        Some(())
    }
}
