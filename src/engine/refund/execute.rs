//! What becomes of a refund at its provider: it is sent, asked about, and finished.

use crate::domain::channel::ProviderId;
use crate::domain::ids::TransactionId;
use crate::domain::money::Fen;
use crate::domain::order::payment::{Payment, PaymentRole};
use crate::domain::order::refund::{Refund, RefundState, RefundStatus, RefundUpdate};
use crate::domain::order::{Order, Transition};
use crate::domain::time::DAY_MS;
use crate::engine::Inner;
use crate::engine::call_budget::Budget;
use crate::engine::circuit_breaker::Operation;
use crate::engine::provider_calls::{AttemptContext, CallFailure};
use crate::error::{Error, Kind};
use crate::provider::refund::exceeds_refundable;
use crate::provider::{Failure, RefundCall, RefundNotification, TradeState};

impl Inner {
    /// Sends a pending refund, or asks what became of it when it may have been sent, and makes
    /// durable what its provider says: with the refusal, where that is final.
    pub(in crate::engine) async fn finish(
        &self,
        order: Order,
        number: &str,
        budget: Budget,
    ) -> Result<(Order, Option<Error>), Error> {
        let (order, told) = self.send_or_query(order, number, budget).await?;
        let (said, refusal) = match told {
            RefundAnswer::Status(trade) => (RefundUpdate::Status(trade), None),
            RefundAnswer::NotFound => (RefundUpdate::NotFound, None),
            RefundAnswer::Failure(
                Failure::Refused { code, message } | Failure::NumberInUse { code, message },
            ) => {
                tracing::warn!(number, code, said = message, "a provider refused a refund");
                let refusal = Error::new(Kind::ProviderRefused).provider_error(&code, &message);
                (RefundUpdate::Refused, Some(refusal))
            }
            RefundAnswer::Failure(Failure::NotSent(reason)) => {
                tracing::info!(number, reason, "a refund is sent later");
                (RefundUpdate::NotDone, None)
            }
            RefundAnswer::Failure(Failure::Throttled { code, message }) => {
                tracing::info!(number, code, said = message, "a refund is sent later");
                (RefundUpdate::NotDone, None)
            }
            RefundAnswer::Failure(Failure::OutcomeUnknown { reason, .. }) => {
                tracing::warn!(number, reason, "the outcome of a refund is unknown");
                (RefundUpdate::NoAnswer, None)
            }
            RefundAnswer::NotAsked => (RefundUpdate::NoAnswer, None),
        };
        let at = self.clock.now();
        let event = Transition::RefundQueried { out_refund_no: number.to_owned(), at, update };
        let order = self.record(order, event).await?;
        let Some(refusal) = refusal else { return Ok((order, None)) };
        let order = self.after_refusal(order, number, &refusal, budget).await;
        // While an earlier sending may still arrive, it is not refused.
        let is_closed = order.refund(number).is_some_and(|(_, it)| it.state == RefundState::Closed);
        Ok((order, is_closed.then_some(refusal)))
    }

    /// Asks what became of a refund that may have been sent; sends one that its provider does not
    /// know, after that was recorded.
    ///
    /// # Errors
    ///
    /// When it cannot be recorded that the refund is sent: it is not sent then.
    async fn send_or_query(
        &self,
        order: Order,
        number: &str,
        budget: Budget,
    ) -> Result<(Order, RefundAnswer), Error> {
        let Some((payment, refund)) = order.refund(number) else {
            return Ok((order, RefundAnswer::NotAsked));
        };
        let now = self.clock.now();
        let is_refused = refund
            .refused_at
            .is_some_and(|refused| !refund.automatic || now.since(refused) >= DAY_MS);
        // Nothing goes back unasked while nobody knows what else went back.
        let is_stopped = refund.automatic && payment.has_unknown_refund();
        let is_over = refund.state != RefundState::Processing || is_refused || is_stopped;
        if refund.may_be_sent() || is_over {
            match self.query_refund(&order, number, budget).await {
                Ok(Some(trade)) => return Ok((order, RefundAnswer::Status(trade))),
                Ok(None) if is_over => return Ok((order, RefundAnswer::NotFound)),
                Ok(None) => {}
                Err(_) => return Ok((order, RefundAnswer::NotAsked)),
            }
        }
        if self.refund_at(&order, number).is_none() || self.call(budget).is_err() {
            return Ok((order, RefundAnswer::NotAsked));
        }
        let sending = Transition::RefundSending { out_refund_no: number.to_owned() };
        let order = self.record(order, sending).await?;
        let is_pending = |at: &RefundContext<'_>| at.refund.state == RefundState::Processing;
        let Some(at) = self.refund_at(&order, number).filter(is_pending) else {
            return Ok((order, RefundAnswer::NotAsked));
        };
        let Ok(call) = self.call(budget) else { return Ok((order, RefundAnswer::NotAsked)) };
        let sent = at.at.provider.refund(at.at.attempt, at.plan(), call);
        let sent = self.guarded(at.at.account.clone(), Operation::Refund, sent).await;
        let told = match sent {
            Ok(trade) if is_same_fee(at.refund, &trade) => RefundAnswer::Status(trade),
            Ok(_) => RefundAnswer::Failure(another_refund()),
            Err(CallFailure::NotMade(_)) => {
                RefundAnswer::Failure(Failure::NotSent(LEFT_ALONE.to_owned()))
            }
            Err(CallFailure::Failed(failure)) => RefundAnswer::Failure(failure),
        };
        Ok((order, told))
    }

    /// What the provider knows of the refund `number`.
    ///
    /// # Errors
    ///
    /// When it cannot tell: it is logged.
    async fn query_refund(
        &self,
        order: &Order,
        number: &str,
        budget: Budget,
    ) -> Result<Option<RefundStatus>, Error> {
        let at = self.refund_at(order, number).ok_or_else(|| Error::new(Kind::OutcomeUnknown))?;
        let found = self.query_refund_at(&at, budget).await?;
        match found {
            Some(trade) if !is_same_fee(at.refund, &trade) => {
                drop(another_refund());
                Err(Error::new(Kind::OutcomeUnknown))
            }
            found => Ok(found),
        }
    }

    /// The order, after its provider was asked about every refund of the payment `id` that is
    /// pending: nothing is sent.
    ///
    /// # Errors
    ///
    /// When the provider cannot tell, or what it says cannot be recorded.
    pub(in crate::engine) async fn query_pending_refunds(
        &self,
        order: Order,
        id: &TransactionId,
    ) -> Result<Order, Error> {
        let mut order = order;
        let is_pending = |it: &&Refund| it.state == RefundState::Processing;
        let refunds = order.payment(Some(id)).map(|it| it.refunds.as_slice()).unwrap_or_default();
        let pending: Vec<String> =
            refunds.iter().filter(is_pending).map(|it| it.out_refund_no.clone()).collect();
        for number in pending {
            if let Some(trade) = self.query_refund(&order, &number, self.budget()).await? {
                let (at, said) = (self.clock.now(), RefundUpdate::Status(trade));
                let event = Transition::RefundQueried { out_refund_no: number, at, update };
                order = self.record(order, event).await?;
            }
        }
        Ok(order)
    }

    /// What went back by a refund that was not sent from here, if its provider knows it by the
    /// number that it was told by.
    ///
    /// # Errors
    ///
    /// When the provider cannot tell.
    pub(in crate::engine) async fn query_external_refund(
        &self,
        order: &Order,
        notification: &RefundNotification,
    ) -> Result<Option<Fen>, Error> {
        let payment = order.payment(Some(&notification.transaction_id));
        let (Some(payment), Some(number)) = (payment, &notification.out_refund_no) else {
            return Ok(None);
        };
        let refund = Refund {
            refund_id: notification.refund_id.clone(),
            state: notification.state,
            refunded_at: notification.refunded_at,
            ..Refund::pending(number.clone(), payment.total_fee, self.clock.now())
        };
        let at = self.at_provider(order, payment, &refund);
        let at = at.ok_or_else(|| Error::new(Kind::OutcomeUnknown))?;
        Ok(self.query_refund_at(&at, self.budget()).await?.and_then(|it| it.refund_fee))
    }

    /// The order, after its provider refused the refund `number` for good: somebody else may have
    /// sent the payment back, which nobody told.
    async fn after_refusal(
        &self,
        order: Order,
        number: &str,
        refusal: &Error,
        budget: Budget,
    ) -> Order {
        let Some(at) = self.refund_at(&order, number) else { return order };
        let Ok(call) = self.call(budget) else { return order };
        if at.payment.has_unknown_refund() {
            return order;
        }
        let id = at.payment.transaction_id.clone();
        if refusal.provider().is_some_and(|(_, message)| exceeds_refundable(message)) {
            // By what is known here there was enough left.
            return self.record(order.clone(), self.unseen(id)).await.unwrap_or(order);
        }
        if at.payment.refunded() > 0 {
            return order;
        }
        let asked = at.at.provider.query(at.at.attempt, call);
        match self.guarded(at.at.account.clone(), Operation::Query, asked).await {
            Ok(TradeState::Paid(trade)) if trade.refunded && trade.transaction_id == id => {
                self.record(order.clone(), self.unseen(id)).await.unwrap_or(order)
            }
            _ => order,
        }
    }

    /// Something of the payment went back, nobody here knows how much.
    pub(in crate::engine) fn unseen(&self, transaction_id: TransactionId) -> Transition {
        let at = self.clock.now();
        Transition::RefundedExternally { transaction_id, refund: None, all: None, at }
    }

    async fn query_refund_at(
        &self,
        at: &RefundContext<'_>,
        budget: Budget,
    ) -> Result<Option<RefundStatus>, Error> {
        let call = self.call(budget)?;
        let asked = at.at.provider.query_refund(at.at.attempt, at.plan(), call);
        let asked = self.guarded(at.at.account.clone(), Operation::QueryRefund, asked).await;
        asked.map_err(|failure| failure.query_error())
    }

    /// Where the refund `number` of `order` is known.
    fn refund_at<'a>(&'a self, order: &'a Order, number: &str) -> Option<RefundContext<'a>> {
        let (payment, refund) = order.refund(number)?;
        self.at_provider(order, payment, refund)
    }

    fn at_provider<'a>(
        &'a self,
        order: &'a Order,
        payment: &'a Payment,
        refund: &'a Refund,
    ) -> Option<RefundContext<'a>> {
        let at = self.provider_of(order, payment.attempt).ok()?;
        // Stored with the intent; earlier versions did not.
        let notify_url = refund.notify_url.clone();
        let notify_url = notify_url.or_else(|| self.refund_notify_url(order, payment))?;
        Some(RefundContext { at, payment, refund, notify_url })
    }

    /// Does what is due about the refunds of `order`, which nobody else works on: at one provider,
    /// or at any.
    pub(in crate::engine) async fn reconcile_refunds(
        &self,
        order: Order,
        at: Option<ProviderId>,
        budget: Budget,
    ) -> Order {
        let mut order = order;
        let now = self.clock.now();
        let here: Vec<TransactionId> = order
            .payments
            .iter()
            .filter(|it| at.is_none_or(|at| order.provider_of(it) == Some(at)))
            .map(|it| it.transaction_id.clone())
            .collect();
        let is_here = |it: &&Payment| here.contains(&it.transaction_id);
        let is_due = |it: &Payment| it.auto_refund_due().is_some_and(|due| due <= now);
        let unreturned: Vec<Payment> =
            order.payments.iter().filter(is_here).filter(|it| is_due(it)).cloned().collect();
        for payment in unreturned {
            let Some(refund) = self.automatic(&order, &payment) else { continue };
            match self.want(order.clone(), payment.transaction_id, refund).await {
                Ok(next) => order = next,
                Err(error) if matches!(error.kind(), Kind::RefundExceeds | Kind::Different) => {}
                Err(_) => return order,
            }
        }
        let is_unseen = |it: &&Payment| it.unidentified_due().is_some_and(|due| due <= now);
        let unseen: Vec<TransactionId> = order
            .payments
            .iter()
            .filter(is_here)
            .filter(is_unseen)
            .map(|it| it.transaction_id.clone())
            .collect();
        for id in unseen {
            match self.record(order.clone(), self.unseen(id)).await {
                Ok(next) => order = next,
                Err(_) => return order,
            }
        }
        let due: Vec<String> = order
            .payments
            .iter()
            .filter(is_here)
            .flat_map(Payment::pending_refunds)
            .filter(|it| it.due().is_some_and(|due| due <= now))
            .map(|it| it.out_refund_no.clone())
            .collect();
        for number in due {
            match self.finish(order.clone(), &number, budget).await {
                Ok((next, _)) => order = next,
                Err(_) => return order,
            }
        }
        order
    }

    /// The refund of a payment that goes back without anybody asking for it: anew, where it was
    /// refused.
    fn automatic(&self, order: &Order, payment: &Payment) -> Option<Refund> {
        let number = payment.automatic_refund_no(order.out_trade_no());
        let refused = order.refund(&number).map(|(_, it)| it);
        let why = match payment.role {
            PaymentRole::Late => "订单关闭后支付的退款",
            _ => "重复支付退款",
        };
        let refund_fee = Fen::positive(payment.refundable())?;
        Some(Refund {
            refund_desc: Some(why.to_owned()),
            last_queried_at: refused.and_then(|it| it.last_queried_at),
            automatic: true,
            notify_url: self.refund_notify_url(order, payment),
            times_sent: refused.map_or(0, |it| it.times_sent),
            times_answered: refused.map_or(0, |it| it.times_answered),
            ..Refund::pending(number, refund_fee, self.clock.now())
        })
    }
}

/// What a provider said when it was told, or asked, of a refund.
enum RefundAnswer {
    /// Where the refund stands.
    Status(RefundStatus),
    /// It knows of no such refund, and is not sent it again.
    NotFound,
    /// It was sent the refund, and said nothing that tells where it stands.
    Failure(Failure),
    /// Nothing of it left, or the question has no answer.
    NotAsked,
}

/// A refund, and who knows of it.
struct RefundContext<'a> {
    at: AttemptContext<'a>,
    payment: &'a Payment,
    refund: &'a Refund,
    notify_url: String,
}

impl RefundContext<'_> {
    fn plan(&self) -> RefundCall<'_> {
        RefundCall { payment: self.payment, refund: self.refund, notify_url: &self.notify_url }
    }
}

const LEFT_ALONE: &str = "the provider fails, and is left alone for some seconds";

fn is_same_fee(refund: &Refund, trade: &RefundStatus) -> bool {
    trade.refund_fee == Some(refund.refund_fee)
}

/// A provider that knows the number by another amount was not sent it from here: nobody knows what
/// went back of this refund.
fn another_refund() -> Failure {
    let reason = "the provider has another refund, of another amount, under this number";
    tracing::error!(reason);
    Failure::unknown(reason)
}
