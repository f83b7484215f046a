//! Retries refunds in the background: pending ones are sent or queried until they are final, and
//! duplicate or late payments are refunded without a request.

use crate::domain::channel::ProviderId;
use crate::domain::ids::TransactionId;
use crate::domain::money::Fen;
use crate::domain::order::Order;
use crate::domain::order::payment::{Payment, PaymentRole};
use crate::domain::order::refund::{ExternalRefund, Refund};
use crate::domain::time::Millis;
use crate::engine::commit::Report;
use crate::engine::locked::LockedWork;

impl LockedWork {
    /// Does what is due about the refunds of `order`: of its payments at one provider, or at any.
    /// It stops when something cannot be recorded; the next round goes on.
    pub(in crate::engine) async fn retry_refunds(&self, order: Order, at: Option<ProviderId>) {
        let order = Box::pin(self.request_automatic_refunds(order, at)).await;
        let Ok(order) = self.report_unidentified_refunds(order, at).await else { return };
        let now = self.engine.clock.now();
        let due = payments_at(&order, at).flat_map(Payment::active_refunds);
        let due = due.filter(|refund| refund.due().is_some_and(|due| due <= now));
        let numbers: Vec<String> = due.map(|refund| refund.out_refund_no.clone()).collect();
        let mut order = order;
        for number in numbers {
            match Box::pin(self.send_refund(order, &number)).await {
                Ok((next, _)) => order = next,
                Err(_) => return,
            }
        }
    }

    /// Records a request for each payment that paygate refunds by itself. The next round repeats
    /// one that cannot be recorded: it holds back no other refund.
    async fn request_automatic_refunds(&self, order: Order, at: Option<ProviderId>) -> Order {
        let now = self.engine.clock.now();
        let is_due = |payment: &&Payment| is_due(payment.auto_refund_due(), now);
        let due: Vec<Payment> = payments_at(&order, at).filter(is_due).cloned().collect();
        let mut order = order;
        for payment in due {
            let Some(refund) = self.automatic_refund(&order, &payment) else { continue };
            let id = payment.transaction_id;
            if let Ok(next) = self.record_refund_request(order.clone(), id, refund).await {
                order = next;
            }
        }
        order
    }

    /// Records, for the shop to hear, each refund that only a payment's total reports and that its
    /// provider did not notify of in time.
    async fn report_unidentified_refunds(
        &self,
        order: Order,
        at: Option<ProviderId>,
    ) -> Result<Order, Stopped> {
        let now = self.engine.clock.now();
        let is_due = |payment: &&Payment| is_due(payment.unidentified_due(), now);
        let due = payments_at(&order, at).filter(is_due);
        let due: Vec<TransactionId> = due.map(|payment| payment.transaction_id.clone()).collect();
        let mut order = order;
        for id in due {
            let report = Report::external_refund(id, ExternalRefund::UnknownAmount, now);
            let reported = self.engine.commits.report(order, report).await;
            order = reported.map_err(|_| Stopped)?;
        }
        Ok(order)
    }

    /// The refund of a payment that paygate refunds by itself: the refused one anew, if there is
    /// one.
    fn automatic_refund(&self, order: &Order, payment: &Payment) -> Option<Refund> {
        let number = payment.automatic_refund_no(order.out_trade_no());
        let reason = match payment.role {
            PaymentRole::Late => "订单关闭后支付的退款",
            _ => "重复支付退款",
        };
        let refund_fee = Fen::positive(payment.refundable())?;
        let now = self.engine.clock.now();
        let refund = match order.refund(&number) {
            Some((_, refused)) => refused.clone().requested_again(now),
            None => Refund::pending(number, refund_fee, now),
        };
        Some(Refund {
            refund_desc: Some(reason.to_owned()),
            automatic: true,
            notify_url: self.engine.providers.refund_notify_url(order, payment),
            ..refund
        })
    }
}

/// Something could not be recorded.
struct Stopped;

fn payments_at(order: &Order, at: Option<ProviderId>) -> impl Iterator<Item = &Payment> {
    let is_there = move |payment: &&Payment| at.is_none() || order.provider_of(payment) == at;
    order.payments.iter().filter(is_there)
}

fn is_due(due: Option<Millis>, now: Millis) -> bool {
    due.is_some_and(|due| due <= now)
}
