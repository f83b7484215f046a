//! Closes a trade at its provider: the intent is durable before the close is sent, so that the
//! attempt hands out nothing again, whatever becomes of the answer.

use super::circuit_breaker::Operation;
use super::failures::{CallFailure, already_paid, busy, contradiction};
use super::locked::LockedWork;
use crate::domain::order::attempt::{Attempt, AttemptState};
use crate::domain::order::{Order, TradeUpdate, Transition};
use crate::error::{Error, Kind};
use crate::provider::{CloseOutcome, Failure, TradeState};

impl LockedWork {
    /// Closes the trade of attempt `n`, and makes the answer durable: the order that comes back
    /// may be paid.
    ///
    /// # Errors
    ///
    /// 4103 when it is too early or the buyer is paying; 5002 when the outcome is unknown.
    pub(super) async fn close_trade(&self, order: Order, n: u32) -> Result<Order, Error> {
        let providers = &self.engine.providers;
        let was_intended = order.attempt(n).is_some_and(|attempt| attempt.close_intended);
        providers.context(&order, n)?;
        providers.next_call(self.budget)?;
        let order = self.record(order, Transition::CloseIntended { n }).await?;
        if order.attempt(n).is_none_or(Attempt::is_ended) {
            return Ok(order);
        }
        let context = providers.context(&order, n)?;
        let closed = context.provider.close(context.attempt, providers.next_call(self.budget)?);
        let closed = providers.guarded(context.account, Operation::Close, closed).await;
        if !was_intended && is_not_closed(&closed) {
            self.record(order.clone(), Transition::CloseRefused { n }).await?;
        }
        match closed {
            Ok(CloseOutcome::Closed) => self.record_trade(order, n, TradeUpdate::Closed).await,
            Ok(CloseOutcome::NotFound)
                if order.attempt(n).is_some_and(Attempt::has_trade_at_once) =>
            {
                Err(contradiction(&order, n, ""))
            }
            Ok(CloseOutcome::NotFound) => {
                self.record_trade(order, n, TradeUpdate::NotFound { date: None }).await
            }
            Ok(CloseOutcome::TooEarly) => Err(busy()),
            Ok(CloseOutcome::Paid) => match self.query_trade(order, n).await? {
                (order, TradeState::Paid(_) | TradeState::Closed) => Ok(order),
                (_, TradeState::Unpaid { .. } | TradeState::NotFound { .. }) => Err(busy()),
            },
            Err(CallFailure::Failed(Failure::Throttled { code, message })) => {
                tracing::warn!(code, provider_message = message, "the provider throttled a close");
                Err(busy().provider_error(&code, &message))
            }
            Err(failure) => Err(failure.call_error()),
        }
    }

    /// Queries every trade of the order that a buyer may pay before it closes one; then closes
    /// those that wait for their buyer. The others have no trade at their provider yet, and may
    /// get one until they expire.
    ///
    /// # Errors
    ///
    /// 4101 when one was paid; the error of the first query or close without a certain outcome.
    pub(super) async fn close_payable_trades(&self, order: Order) -> Result<Order, Error> {
        let (order, unpaid) = self.query_payable_trades(order, |_| true).await?;
        Box::pin(self.close_trades(order, &unpaid)).await
    }

    /// Queries each trade of the order that a buyer may pay and that is `wanted`; returns those
    /// that wait for their buyer.
    ///
    /// # Errors
    ///
    /// 4101 when one was paid; 5002 when a provider does not answer, or contradicts itself.
    pub(super) async fn query_payable_trades(
        &self,
        order: Order,
        wanted: impl Fn(&Attempt) -> bool,
    ) -> Result<(Order, Vec<u32>), Error> {
        let mut order = order;
        let mut unpaid = Vec::new();
        for n in order.trades(|attempt| attempt.is_payable() && wanted(attempt)) {
            let trade;
            (order, trade) = self.query_trade(order, n).await?;
            if !order.is_unpaid() {
                return Err(already_paid(&order));
            }
            let attempt = order.attempt(n).ok_or_else(|| Error::new(Kind::OutcomeUnknown))?;
            match (trade, &attempt.state) {
                (TradeState::Unpaid { .. }, _) => unpaid.push(n),
                (TradeState::NotFound { .. }, AttemptState::NumberInUse { code }) => {
                    return Err(contradiction(&order, n, code));
                }
                (TradeState::NotFound { .. }, _) if attempt.has_trade_at_once() => {
                    return Err(contradiction(&order, n, ""));
                }
                (TradeState::NotFound { .. } | TradeState::Closed | TradeState::Paid(_), _) => {}
            }
        }
        Ok((order, unpaid))
    }

    /// Closes each of these trades.
    ///
    /// # Errors
    ///
    /// 4101 when one was paid; the error of the first close without a certain outcome.
    pub(super) async fn close_trades(&self, order: Order, trades: &[u32]) -> Result<Order, Error> {
        let mut order = order;
        for (nth, n) in trades.iter().enumerate() {
            let closed = Box::pin(self.close_trade(order, *n)).await;
            order = closed.map_err(|error| match error.kind() {
                // The first one may be closed.
                Kind::NotSent if nth > 0 => error.into_kind(Kind::OutcomeUnknown),
                _ => error,
            })?;
            if !order.is_unpaid() {
                return Err(already_paid(&order));
            }
        }
        Ok(order)
    }
}

/// Whether it is certain that the one close that was sent has not closed the trade.
fn is_not_closed(closed: &Result<CloseOutcome, CallFailure>) -> bool {
    match closed {
        Ok(CloseOutcome::TooEarly) => true,
        Ok(CloseOutcome::Closed | CloseOutcome::NotFound | CloseOutcome::Paid) => false,
        Err(CallFailure::NotMade(_)) => true,
        Err(CallFailure::Failed(failure)) => {
            matches!(
                failure,
                Failure::NotSent(_) | Failure::Unverifiable { .. } | Failure::Throttled { .. }
            )
        }
    }
}
