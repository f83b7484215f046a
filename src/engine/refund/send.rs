//! Sends a refund to its provider, or queries there what became of an earlier sending.

use super::context::{ANOTHER_REFUND, RefundContext};
use crate::domain::ids::TransactionId;
use crate::domain::order::refund::{ExternalRefund, RefundState, RefundStatus, RefundUpdate};
use crate::domain::order::{Order, Transition};
use crate::domain::time::DAY_MS;
use crate::engine::circuit_breaker::Operation;
use crate::engine::commit::Report;
use crate::engine::failures::CallFailure;
use crate::engine::locked::LockedWork;
use crate::engine::providers::AttemptContext;
use crate::error::{Error, Kind};
use crate::provider::refund::exceeds_refundable;
use crate::provider::{Failure, TradeState};

/// A provider's answer to a refund, or to a query about it.
enum RefundAnswer {
    /// Where the refund stands.
    Status(RefundStatus),
    /// It has no such refund, and is not sent it again.
    NotFound,
    /// It was sent the refund, and did not answer where the refund stands.
    Failure(Failure),
    /// Nothing was sent, or the query has no answer.
    NoAnswer,
}

impl LockedWork {
    /// Sends a pending refund, or queries one that may have been sent, and makes the provider's
    /// answer durable. Returns the refusal too, where that is final.
    ///
    /// # Errors
    ///
    /// When the answer cannot be recorded.
    pub(super) async fn send_refund(
        &self,
        order: Order,
        number: &str,
    ) -> Result<(Order, Option<Error>), Error> {
        let (order, answer) = self.send_or_query(order, number).await?;
        let (update, refusal) = refund_update(number, answer);
        let report = Report::refund(number.to_owned(), self.engine.clock.now(), update);
        let order = self.engine.commits.report(order, report).await?;
        let Some(refusal) = refusal else { return Ok((order, None)) };
        let order = self.find_external_refund(order, number, &refusal).await;
        // While an earlier sending may still succeed, the refund is not refused.
        let refund = order.refund(number);
        let is_closed = refund.is_some_and(|(_, refund)| refund.state == RefundState::Closed);
        Ok((order, is_closed.then_some(refusal)))
    }

    /// Queries a refund that may have been sent; records a sending and sends the refund when its
    /// provider has none.
    ///
    /// # Errors
    ///
    /// When the sending cannot be recorded: nothing is sent then.
    async fn send_or_query(
        &self,
        order: Order,
        number: &str,
    ) -> Result<(Order, RefundAnswer), Error> {
        let providers = &self.engine.providers;
        let Some((payment, refund)) = order.refund(number) else {
            return Ok((order, RefundAnswer::NoAnswer));
        };
        let now = self.engine.clock.now();
        let is_refused = refund
            .refused_at
            .is_some_and(|refused_at| !refund.automatic || now.since(refused_at) >= DAY_MS);
        // Paygate sends no automatic refund beside one whose amount nobody knows.
        let is_stopped = refund.automatic && payment.has_unknown_refund();
        let is_over = is_refused || is_stopped;
        if refund.may_have_been_sent() || is_over {
            match providers.query_refund(&order, number, self.budget).await {
                Ok(Some(status)) => return Ok((order, RefundAnswer::Status(status))),
                Ok(None) if is_over => return Ok((order, RefundAnswer::NotFound)),
                Ok(None) => {}
                Err(_) => return Ok((order, RefundAnswer::NoAnswer)),
            }
        }
        let is_callable = providers.next_call(self.budget).is_ok();
        if !is_callable || providers.refund_context(&order, number).is_none() {
            return Ok((order, RefundAnswer::NoAnswer));
        }
        let sending = Transition::RefundSending { out_refund_no: number.to_owned() };
        let order = self.record(order, sending).await?;
        let is_pending =
            |context: &RefundContext<'_>| context.refund.state == RefundState::Processing;
        let Some(context) = providers.refund_context(&order, number).filter(is_pending) else {
            return Ok((order, RefundAnswer::NoAnswer));
        };
        let Ok(call) = providers.next_call(self.budget) else {
            return Ok((order, RefundAnswer::NoAnswer));
        };
        let AttemptContext { provider, attempt, account } = context.attempt.clone();
        let sent = provider.refund(attempt, context.call(), call);
        let answer = match providers.guarded(account, Operation::Refund, sent).await {
            Ok(status) if context.is_same_fee(&status) => RefundAnswer::Status(status),
            Ok(_) => {
                tracing::error!(
                    out_refund_no = number,
                    "the provider has another refund, of another amount, under this number"
                );
                RefundAnswer::Failure(Failure::unknown(ANOTHER_REFUND))
            }
            Err(CallFailure::NotMade(_)) => {
                RefundAnswer::Failure(Failure::NotSent(BREAKER_OPEN.to_owned()))
            }
            Err(CallFailure::Failed(failure)) => RefundAnswer::Failure(failure),
        };
        Ok((order, answer))
    }

    /// Looks for a refund that paygate did not send, after the provider refused the refund
    /// `number` for good: nobody may have reported it.
    async fn find_external_refund(&self, order: Order, number: &str, refusal: &Error) -> Order {
        let providers = &self.engine.providers;
        let Some(context) = providers.refund_context(&order, number) else { return order };
        let Ok(call) = providers.next_call(self.budget) else { return order };
        if context.payment.has_unknown_refund() {
            return order;
        }
        let id = context.payment.transaction_id.clone();
        if refusal.provider().is_some_and(|(_, message)| exceeds_refundable(message)) {
            // By what the store holds there was enough left.
            return self.record_unknown_refund(order, id).await;
        }
        if context.payment.refunded() > 0 {
            return order;
        }
        match providers.query_trade(context.attempt, call).await {
            Ok(TradeState::Paid(trade)) if trade.refunded && trade.transaction_id == id => {
                self.record_unknown_refund(order, id).await
            }
            _ => order,
        }
    }

    /// Records that the payment has a refund whose amount nobody knows. The order stays as it is
    /// when that cannot be recorded.
    async fn record_unknown_refund(&self, order: Order, id: TransactionId) -> Order {
        let at = self.engine.clock.now();
        let report = Report::external_refund(id, ExternalRefund::UnknownAmount, at);
        self.engine.commits.report(order.clone(), report).await.unwrap_or(order)
    }
}

const BREAKER_OPEN: &str = "the provider fails: paygate calls it again in some seconds";

/// What an answer means to the refund, and the caller's error where it is a refusal.
fn refund_update(number: &str, answer: RefundAnswer) -> (RefundUpdate, Option<Error>) {
    match answer {
        RefundAnswer::Status(status) => (RefundUpdate::Status(status), None),
        RefundAnswer::NotFound => (RefundUpdate::NotFound, None),
        RefundAnswer::NoAnswer => (RefundUpdate::NoAnswer, None),
        RefundAnswer::Failure(
            Failure::Refused { code, message } | Failure::NumberInUse { code, message },
        ) => {
            tracing::warn!(
                out_refund_no = number,
                code,
                provider_message = message,
                "the provider refused a refund"
            );
            let refusal = Error::new(Kind::ProviderRefused).provider_error(&code, &message);
            (RefundUpdate::Refused, Some(refusal))
        }
        RefundAnswer::Failure(Failure::NotSent(reason) | Failure::Unverifiable { reason, .. }) => {
            tracing::info!(out_refund_no = number, reason, "paygate sends a refund later");
            (RefundUpdate::NotDone, None)
        }
        RefundAnswer::Failure(Failure::Throttled { code, message }) => {
            tracing::info!(
                out_refund_no = number,
                code,
                provider_message = message,
                "paygate sends a throttled refund later"
            );
            (RefundUpdate::NotDone, None)
        }
        RefundAnswer::Failure(Failure::OutcomeUnknown { reason, .. }) => {
            tracing::warn!(out_refund_no = number, reason, "the outcome of a refund is unknown");
            (RefundUpdate::NoAnswer, None)
        }
    }
}
