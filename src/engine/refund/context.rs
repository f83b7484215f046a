//! A refund together with its payment, its attempt and its provider, and queries about it.

use crate::domain::ids::TransactionId;
use crate::domain::money::Fen;
use crate::domain::order::Order;
use crate::domain::order::payment::Payment;
use crate::domain::order::refund::{Refund, RefundState, RefundStatus, RefundUpdate};
use crate::engine::circuit_breaker::Operation;
use crate::engine::commit::Report;
use crate::engine::parts::EngineParts;
use crate::engine::providers::{AttemptContext, CallBudget, Providers};
use crate::error::{Error, Kind};
use crate::provider::{RefundCall, RefundNotification};

/// A refund, and the account that can send it.
pub(super) struct RefundContext<'a> {
    pub(super) attempt: AttemptContext<'a>,
    pub(super) payment: &'a Payment,
    pub(super) refund: &'a Refund,
    notify_url: String,
}

impl RefundContext<'_> {
    pub(super) fn call(&self) -> RefundCall<'_> {
        RefundCall { payment: self.payment, refund: self.refund, notify_url: &self.notify_url }
    }

    /// Whether the provider reports this refund's own amount.
    pub(super) fn is_same_fee(&self, status: &RefundStatus) -> bool {
        status.refund_fee == Some(self.refund.refund_fee)
    }
}

impl Providers {
    /// Where the provider reports refunds of `payment`: where it reported the payment.
    pub(super) fn refund_notify_url(&self, order: &Order, payment: &Payment) -> Option<String> {
        let attempt = order.attempt(payment.attempt)?;
        Some(self.notify_url(attempt.method.pay_type, &order.terms.pid))
    }

    /// The refund `number` of `order`. [`None`] when there is none, or its account is no longer
    /// configured.
    pub(super) fn refund_context<'a>(
        &'a self,
        order: &'a Order,
        number: &str,
    ) -> Option<RefundContext<'a>> {
        let (payment, refund) = order.refund(number)?;
        self.refund_context_of(order, payment, refund)
    }

    fn refund_context_of<'a>(
        &'a self,
        order: &'a Order,
        payment: &'a Payment,
        refund: &'a Refund,
    ) -> Option<RefundContext<'a>> {
        let attempt = self.context(order, payment.attempt).ok()?;
        // Stored with the intent; earlier versions did not store it.
        let notify_url = refund.notify_url.clone();
        let notify_url = notify_url.or_else(|| self.refund_notify_url(order, payment))?;
        Some(RefundContext { attempt, payment, refund, notify_url })
    }

    /// What the provider knows of the refund `number`.
    ///
    /// # Errors
    ///
    /// 5002 when the provider does not answer, or has another refund under the number.
    pub(super) async fn query_refund(
        &self,
        order: &Order,
        number: &str,
        budget: CallBudget,
    ) -> Result<Option<RefundStatus>, Error> {
        let context = self.refund_context(order, number);
        let context = context.ok_or_else(|| Error::new(Kind::OutcomeUnknown))?;
        match self.query_refund_status(&context, budget).await? {
            Some(status) if !context.is_same_fee(&status) => {
                tracing::error!(
                    out_refund_no = number,
                    "the provider has another refund, of another amount, under this number"
                );
                Err(Error::new(Kind::OutcomeUnknown))
            }
            status => Ok(status),
        }
    }

    async fn query_refund_status(
        &self,
        context: &RefundContext<'_>,
        budget: CallBudget,
    ) -> Result<Option<RefundStatus>, Error> {
        let AttemptContext { provider, attempt, account } = context.attempt.clone();
        let queried = provider.query_refund(attempt, context.call(), self.next_call(budget)?);
        let queried = self.guarded(account, Operation::QueryRefund, queried).await;
        queried.map_err(|failure| failure.call_error())
    }

    /// How much a refund that paygate did not send returned, in fen, if the provider knows it by
    /// the number that the notification names.
    ///
    /// # Errors
    ///
    /// 5002 when the provider does not answer.
    pub(super) async fn query_external_refund(
        &self,
        order: &Order,
        notification: &RefundNotification,
    ) -> Result<Option<Fen>, Error> {
        let payment = order.payment(&notification.transaction_id);
        let (Some(payment), Some(number)) = (payment, &notification.out_refund_no) else {
            return Ok(None);
        };
        // The query names its number only.
        let refund = Refund::pending(number.clone(), payment.total_fee, self.clock.now());
        let context = self.refund_context_of(order, payment, &refund);
        let context = context.ok_or_else(|| Error::new(Kind::OutcomeUnknown))?;
        let status = self.query_refund_status(&context, self.budget()).await?;
        Ok(status.and_then(|status| status.refund_fee))
    }
}

impl EngineParts {
    /// Queries the provider about every pending refund of the payment `id`, and makes the answers
    /// durable. It sends nothing, and needs no lock.
    ///
    /// # Errors
    ///
    /// When the provider does not answer, or its answer cannot be recorded.
    pub(super) async fn query_pending_refunds(
        &self,
        order: Order,
        id: &TransactionId,
    ) -> Result<Order, Error> {
        let mut order = order;
        let refunds = order.payment(id).map(|payment| payment.refunds.as_slice());
        let is_pending = |refund: &&Refund| refund.state == RefundState::Processing;
        let pending = refunds.unwrap_or_default().iter().filter(is_pending);
        let numbers: Vec<String> = pending.map(|refund| refund.out_refund_no.clone()).collect();
        for number in numbers {
            let budget = self.providers.budget();
            if let Some(status) = self.providers.query_refund(&order, &number, budget).await? {
                let update = RefundUpdate::Status(status);
                let report = Report::refund(number, self.clock.now(), update);
                order = self.commits.report(order, report).await?;
            }
        }
        Ok(order)
    }
}

/// The refund under the number has another amount, so that another program sent it: the outcome of
/// paygate's own refund is unknown.
pub(super) const ANOTHER_REFUND: &str =
    "the provider has another refund, of another amount, under this number";
