//! What becomes of a refund at its provider: it is sent, asked about, and finished.

use std::sync::Arc;

use super::Inner;
use super::ask::untold;
use super::budget::Budget;
use crate::domain::attempt::Attempt;
use crate::domain::channel::ProviderId;
use crate::domain::ids::TransactionId;
use crate::domain::money::Fen;
use crate::domain::order::{Event, Order};
use crate::domain::refund::{Payment, PaymentRole, Refund, RefundSaid, RefundState, RefundTold};
use crate::error::{Error, Kind};
use crate::provider::{Failure, Provider, RefundNotice, RefundPlan, RefundTrade, Trade};

impl Inner {
    /// Sends a pending refund, or asks what became of it when it may have been sent, and makes
    /// durable what its provider says: with the refusal, where that is final.
    pub(super) async fn finish(
        &self,
        order: Order,
        number: &str,
        budget: Budget,
    ) -> Result<(Order, Option<Error>), Error> {
        let told = self.tell_provider(&order, number, budget).await;
        let told = told.and_then(|trade| same_fee(&order, number, trade));
        let (said, refusal) = match told {
            Ok(trade) => (RefundSaid::Told(told_of(trade)), None),
            Err(Failure::Refused { code, message } | Failure::Taken { code, message }) => {
                tracing::warn!(number, code, message, "a provider refused a refund");
                let refusal = Error::new(Kind::ProviderRefused).provider_said(&code, &message);
                (RefundSaid::Refused, Some(refusal))
            }
            Err(Failure::Throttled { code, .. }) => {
                tracing::info!(number, code, "a refund is sent later");
                (RefundSaid::Nothing, None)
            }
            Err(Failure::NotSent(reason)) => {
                tracing::info!(number, reason, "a refund is sent later");
                (RefundSaid::Nothing, None)
            }
            Err(Failure::Unknown { reason, .. }) => {
                tracing::warn!(number, reason, "the outcome of a refund is unknown");
                (RefundSaid::Nothing, None)
            }
        };
        let at = self.clock.now();
        let event = Event::RefundAsked { out_refund_no: number.to_owned(), at, said };
        let order = self.record(order, event).await?;
        match refusal {
            Some(refusal) => Ok((self.after_refusal(order, number, budget).await, Some(refusal))),
            None => Ok((order, None)),
        }
    }

    async fn tell_provider(
        &self,
        order: &Order,
        number: &str,
        budget: Budget,
    ) -> Result<RefundTrade, Failure> {
        let at = self.refund_at(order, number)?;
        if at.refund.looked.is_some()
            && let Some(trade) = self.query_refund_at(&at, budget).await?
        {
            return Ok(trade);
        }
        if at.refund.state == RefundState::Closed {
            return Err(Failure::NotSent("it was refused, and stays so".to_owned()));
        }
        at.provider.refund(at.attempt, at.plan(), self.call(budget).map_err(busy)?).await
    }

    /// The order, after its provider was asked about every refund of the payment `id` that is
    /// pending: nothing is sent.
    ///
    /// # Errors
    ///
    /// When the provider cannot tell, or what it says cannot be recorded.
    pub(super) async fn ask_pending(
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
            let told = match self.refund_at(&order, &number) {
                Ok(at) => self.query_refund_at(&at, self.budget()).await,
                Err(failure) => Err(failure),
            };
            let told = told.map_err(|failure| untold(&failure))?;
            if let Some(trade) = told {
                let (at, said) = (self.clock.now(), RefundSaid::Told(told_of(trade)));
                let event = Event::RefundAsked { out_refund_no: number, at, said };
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
    pub(super) async fn ask_foreign(
        &self,
        order: &Order,
        notice: &RefundNotice,
    ) -> Result<Option<Fen>, Error> {
        let payment = order.payment(Some(&notice.transaction_id));
        let (Some(payment), Some(number)) = (payment, &notice.out_refund_no) else {
            return Ok(None);
        };
        let refund = Refund {
            out_refund_no: number.clone(),
            refund_id: notice.refund_id.clone(),
            refund_fee: payment.total_fee,
            refund_desc: None,
            state: notice.state,
            cash_refund_fee: None,
            asked_at: self.clock.now(),
            looked: None,
            refunded_at: notice.refunded_at,
            automatic: false,
        };
        let told = match self.at_provider(order, payment, &refund) {
            Ok(at) => self.query_refund_at(&at, self.budget()).await,
            Err(failure) => Err(failure),
        };
        Ok(told.map_err(|failure| untold(&failure))?.map(|it| it.refund_fee))
    }

    /// The order, after its provider refused the refund `number` for good: somebody else may have
    /// sent the payment back, which nobody told.
    async fn after_refusal(&self, order: Order, number: &str, budget: Budget) -> Order {
        let Ok(at) = self.refund_at(&order, number) else { return order };
        let Ok(call) = self.call(budget) else { return order };
        if at.payment.returned() > 0 || at.payment.refund_unknown {
            return order;
        }
        let id = at.payment.transaction_id.clone();
        match at.provider.query(at.attempt, call).await {
            Ok(Trade::Paid(trade)) if trade.refunded && trade.transaction_id == id => {
                let event =
                    Event::RefundedElsewhere { transaction_id: id, refund: None, all: None };
                self.record(order.clone(), event).await.unwrap_or(order)
            }
            _ => order,
        }
    }

    async fn query_refund_at(
        &self,
        at: &RefundAt<'_>,
        budget: Budget,
    ) -> Result<Option<RefundTrade>, Failure> {
        let call = self.call(budget).map_err(busy)?;
        at.provider.query_refund(at.attempt, at.plan(), call).await
    }

    /// Where the refund `number` of `order` is known.
    fn refund_at<'a>(&'a self, order: &'a Order, number: &str) -> Result<RefundAt<'a>, Failure> {
        let lost = |why: &str| Failure::NotSent(why.to_owned());
        let (payment, refund) = order.refund(number).ok_or_else(|| lost("there is no refund"))?;
        self.at_provider(order, payment, refund)
    }

    fn at_provider<'a>(
        &'a self,
        order: &'a Order,
        payment: &'a Payment,
        refund: &'a Refund,
    ) -> Result<RefundAt<'a>, Failure> {
        let lost = |why: &str| Failure::NotSent(why.to_owned());
        let attempt = order.attempt(payment.attempt).ok_or_else(|| lost("there is no attempt"))?;
        let (pid, way) = (&order.facts.pid, &attempt.way);
        let provider = self
            .provider(pid, way.provider())
            .ok_or_else(|| lost("the merchant is no longer configured"))?;
        let notify_url = self.notify_url(way.pay_type, pid);
        Ok(RefundAt { provider, attempt, payment, refund, notify_url })
    }

    /// Does what is due about the refunds of `order`, which nobody else works on: at one provider,
    /// or at any.
    pub(super) async fn tend_refunds(
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
        let is_due = |it: &Payment| it.return_due().is_some_and(|due| due <= now);
        let unreturned: Vec<Payment> =
            order.payments.iter().filter(is_here).filter(|it| is_due(it)).cloned().collect();
        for payment in unreturned {
            let Some(refund) = self.automatic(&order, &payment) else { continue };
            match self.want(order.clone(), payment.transaction_id, refund).await {
                Ok(next) => order = next,
                Err(_) => return order,
            }
        }
        let due: Vec<String> = order
            .payments
            .iter()
            .filter(is_here)
            .flat_map(Payment::tended)
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
        let number = payment.derived_refund_no(order.out_trade_no());
        let refused = order.refund(&number).map(|(_, it)| it);
        let why = match payment.role {
            PaymentRole::Late => "订单关闭后支付的退款",
            _ => "重复支付退款",
        };
        Some(Refund {
            refund_id: None,
            refund_fee: Fen::positive(payment.left())?,
            refund_desc: Some(why.to_owned()),
            state: RefundState::Processing,
            cash_refund_fee: None,
            asked_at: self.clock.now(),
            looked: refused.and_then(|it| it.looked),
            refunded_at: None,
            automatic: true,
            out_refund_no: number,
        })
    }
}

/// A refund, and who knows of it.
struct RefundAt<'a> {
    provider: &'a Arc<dyn Provider>,
    attempt: &'a Attempt,
    payment: &'a Payment,
    refund: &'a Refund,
    notify_url: String,
}

impl RefundAt<'_> {
    fn plan(&self) -> RefundPlan<'_> {
        RefundPlan { payment: self.payment, refund: self.refund, notify_url: &self.notify_url }
    }
}

fn busy(_: Error) -> Failure {
    Failure::NotSent("no time is left for a call".to_owned())
}

/// A provider that knows the number by another amount was not sent it from here: nobody knows what
/// went back of this refund.
fn same_fee(order: &Order, number: &str, trade: RefundTrade) -> Result<RefundTrade, Failure> {
    if order.refund(number).is_some_and(|(_, it)| it.refund_fee == trade.refund_fee) {
        return Ok(trade);
    }
    let fee = trade.refund_fee.fen();
    tracing::error!(number, fee, "the provider has another refund under this number");
    Err(Failure::Unknown { reason: "another refund has the number".to_owned(), said: None })
}

fn told_of(trade: RefundTrade) -> RefundTold {
    RefundTold {
        refund_id: trade.refund_id,
        state: trade.state,
        cash_refund_fee: trade.cash_refund_fee,
        refunded_at: trade.refunded_at,
        message: trade.message,
    }
}
