//! The transitions of an order's refunds.

use super::payment::{Payment, PaymentRole};
use super::refund::{ExternalRefund, Refund, RefundState, RefundUpdate};
use super::state::{Order, OrderStatus};
use crate::domain::ids::TransactionId;
use crate::domain::time::Millis;

impl Order {
    /// Records that the shop wants a refund, or that a refused one is to be sent once more.
    /// [`None`] when the payment has too little left, or another payment has the number.
    pub(super) fn request_refund(&mut self, id: &TransactionId, refund: Refund) -> Option<()> {
        let number = &refund.out_refund_no;
        if self.refund(number).is_some_and(|(payment, _)| payment.transaction_id != *id) {
            return None;
        }
        let payment = self.payments.iter_mut().find(|payment| payment.transaction_id == *id)?;
        if payment.refundable() < refund.refund_fee.fen() {
            return None;
        }
        let mut refunds = payment.refunds.iter_mut();
        match refunds.find(|known| known.out_refund_no == refund.out_refund_no) {
            Some(known) if known.state == RefundState::Closed => *known = refund,
            Some(_) => return None,
            None => payment.refunds.push(refund),
        }
        Some(())
    }

    /// Records that a refund is about to be sent. [`None`] when it is not pending.
    pub(super) fn count_refund_sending(&mut self, out_refund_no: &str) -> Option<()> {
        let mut refunds = self.payments.iter_mut().flat_map(|payment| &mut payment.refunds);
        let refund = refunds.find(|refund| refund.out_refund_no == out_refund_no)?;
        (refund.state == RefundState::Processing).then(|| refund.count_sending())
    }

    /// Records what a provider reports of a refund. A final state stays, except that a refund
    /// which the provider reports as done is done.
    pub(super) fn record_refund_update(
        &mut self,
        out_refund_no: &str,
        at: Millis,
        update: RefundUpdate,
    ) {
        let has_number = |refund: &Refund| refund.out_refund_no == out_refund_no;
        let mut payments = self.payments.iter_mut();
        let Some(payment) = payments.find(|payment| payment.refunds.iter().any(has_number)) else {
            return;
        };
        let mut refunds = payment.refunds.iter_mut();
        let Some(refund) = refunds.find(|refund| has_number(refund)) else { return };
        refund.last_queried_at = Some(at);
        match update {
            RefundUpdate::NoAnswer => {}
            RefundUpdate::NotDone => refund.count_answer(),
            RefundUpdate::NotFound => refund.record_not_found(at),
            RefundUpdate::Refused => refund.record_refusal(at),
            RefundUpdate::Status(status) => {
                if status.state.precedence() > refund.state.precedence() {
                    refund.state = status.state;
                }
                refund.refund_id = status.refund_id.or_else(|| refund.refund_id.take());
                refund.cash_refund_fee = status.cash_refund_fee.or(refund.cash_refund_fee);
                refund.refunded_at = status.refunded_at.or(refund.refunded_at);
                payment.record_refund_total(status.refunded_total, at);
            }
        }
        self.recompute_status();
    }

    /// Records a refund that was made in the provider's console, or whose record was lost.
    /// [`None`] when nothing of it is new.
    pub(super) fn record_external_refund(
        &mut self,
        id: &TransactionId,
        external: ExternalRefund,
        at: Millis,
    ) -> Option<()> {
        let number = external.refund().map(|refund| refund.out_refund_no.clone());
        let is_known = number.is_some_and(|number| self.refund(&number).is_some());
        let payment = self.payments.iter_mut().find(|payment| payment.transaction_id == *id)?;
        let before = payment.clone();
        let total = external.total();
        if !is_known {
            payment.add_external_refund(external);
        }
        payment.record_refund_total(total, at);
        let is_new = *payment != before;
        self.recompute_status();
        is_new.then_some(())
    }

    /// Computes the order's status and flags anew after a refund or a payment was recorded.
    pub(super) fn recompute_status(&mut self) {
        let is_open_mismatch = |payment: &Payment| {
            payment.role == PaymentRole::Mismatch && payment.refunded() < payment.total_fee.fen()
        };
        self.flags.mismatch = self.payments.iter().any(is_open_mismatch);
        let Some(winning) = self.winning_payment() else { return };
        let (refunded, total) = (winning.refunded(), winning.total_fee.fen());
        self.status = match refunded {
            _ if refunded >= total => OrderStatus::Refunded,
            0 if !winning.has_unknown_refund() => self.status,
            _ => OrderStatus::PartRefunded,
        };
    }
}
