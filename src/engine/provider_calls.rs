//! Learning from a provider what became of an attempt, and ending it there.

use std::sync::Arc;
use std::time::Duration;

use super::Inner;
use super::call_budget::Budget;
use super::circuit_breaker::{Operation, Refused};
use super::create::switch::contradiction;
use crate::domain::order::attempt::{Account, Attempt, Material};
use crate::domain::order::{Order, Receipt, TradeUpdate, Transition};
use crate::error::{Error, Kind};
use crate::provider::{Call, CloseOutcome, Failure, Provider, TradeState};

impl Inner {
    /// Asks the provider of attempt `n`, and makes durable what it says.
    ///
    /// # Errors
    ///
    /// When it cannot tell, or what it says cannot be recorded: nothing is known then.
    pub(super) async fn query_trade(
        &self,
        order: Order,
        n: u32,
        budget: Budget,
    ) -> Result<(Order, TradeState), Error> {
        let at = self.provider_of(&order, n)?;
        let call = self.call(budget)?;
        let asked = self.guarded(at.account, Operation::Query, at.provider.query(at.attempt, call));
        let trade = asked.await.map_err(|failure| failure.query_error())?;
        let order = self.record_trade(order, n, self.to_update(&trade)).await?;
        Ok((order, trade))
    }

    /// Closes attempt `n` at its provider, and makes durable what it says: the order that comes
    /// back may be paid. That the close was sent is durable before it is: whatever becomes of its
    /// answer, the attempt hands out nothing again.
    ///
    /// # Errors
    ///
    /// 4103 when it is too early or the buyer is paying; any other when nothing is known.
    pub(super) async fn close(&self, order: Order, n: u32, budget: Budget) -> Result<Order, Error> {
        let was_intended = order.attempt(n).is_some_and(|it| it.close_intended);
        self.provider_of(&order, n)?;
        self.call(budget)?;
        let order = self.record(order, Transition::CloseIntended { n }).await?;
        if order.attempt(n).is_none_or(Attempt::is_ended) {
            return Ok(order);
        }
        let at = self.provider_of(&order, n)?;
        let closing = at.provider.close(at.attempt, self.call(budget)?);
        let closing = self.guarded(at.account, Operation::Close, closing).await;
        if !was_intended && is_not_closed(&closing) {
            self.record(order.clone(), Transition::CloseRefused { n }).await?;
        }
        match closing {
            Ok(CloseOutcome::Closed) => self.record_trade(order, n, TradeUpdate::Closed).await,
            Ok(CloseOutcome::NotFound)
                if order.attempt(n).is_some_and(Attempt::has_trade_at_once) =>
            {
                Err(contradiction(&order, n, ""))
            }
            Ok(CloseOutcome::NotFound) => {
                self.record_trade(order, n, TradeUpdate::NotFound { date: None }).await
            }
            Ok(CloseOutcome::TooEarly) => Err(Error::new(Kind::Busy)),
            Ok(CloseOutcome::Paid) => match self.query_trade(order, n, budget).await? {
                (order, TradeState::Paid(_) | TradeState::Closed) => Ok(order),
                (_, TradeState::Unpaid { .. } | TradeState::NotFound { .. }) => {
                    Err(Error::new(Kind::Busy))
                }
            },
            Err(CallFailure::Failed(Failure::Throttled { code, message })) => {
                tracing::warn!(code, message, "a provider has no time for a close");
                Err(Error::new(Kind::Busy).provider_said(&code, &message))
            }
            Err(failure) => Err(failure.query_error()),
        }
    }

    /// Opens an attempt at its provider. What needs only a signature of ours is no call, and says
    /// nothing of the provider.
    ///
    /// # Errors
    ///
    /// As [`Inner::guarded`].
    pub(super) async fn open_at(
        &self,
        at: AttemptContext<'_>,
        call: Call<'_>,
    ) -> Result<Material, CallFailure> {
        let opened = at.provider.open(at.attempt, call);
        match at.attempt.method.product.is_local() {
            true => opened.await.map_err(CallFailure::Failed),
            false => self.guarded(at.account, Operation::Open, opened).await,
        }
    }

    /// Makes durable what a provider said of attempt `n`.
    pub(super) async fn record_trade(
        &self,
        order: Order,
        n: u32,
        said: TradeUpdate,
    ) -> Result<Order, Error> {
        self.record(order, Transition::TradeQueried { n, at: self.clock.now(), said }).await
    }

    /// Makes a call, unless the provider is left alone because it fails.
    ///
    /// # Errors
    ///
    /// What became of the call, or that it was not made.
    pub(super) async fn guarded<T>(
        &self,
        account: Account,
        operation: Operation,
        call: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, CallFailure> {
        let permit = self.breakers.enter(&account, operation).map_err(CallFailure::NotMade)?;
        let result = call.await;
        permit.done(&result);
        result.map_err(CallFailure::Failed)
    }

    /// The attempt `n`, and the merchant account that it was opened under: that one or none.
    pub(super) fn provider_of<'a>(
        &'a self,
        order: &'a Order,
        n: u32,
    ) -> Result<AttemptContext<'a>, Error> {
        let attempt = order.attempt(n);
        let found = attempt.and_then(|attempt| {
            let provider = self.provider(&order.terms.pid, attempt.method.provider())?;
            let account = provider.account_of(attempt)?;
            provider.holds(&account).then_some(AttemptContext { provider, attempt, account })
        });
        found.ok_or_else(|| {
            let out_trade_no = order.out_trade_no();
            tracing::error!(%out_trade_no, n, "the merchant account of an attempt is no longer configured");
            Error::new(Kind::OutcomeUnknown)
        })
    }

    pub(super) fn to_update(&self, trade: &TradeState) -> TradeUpdate {
        match trade {
            TradeState::NotFound { date } => TradeUpdate::NotFound { date: *date },
            TradeState::Unpaid { .. } => TradeUpdate::Unpaid,
            TradeState::Closed => TradeUpdate::Closed,
            TradeState::Paid(paid) => TradeUpdate::Paid(Receipt {
                transaction_id: paid.transaction_id.clone(),
                total_fee: paid.total_fee,
                paid_at: paid.paid_at.unwrap_or_else(|| self.clock.now()),
                openid: paid.openid.clone(),
                matches_order: paid.matches_order,
                refunded: paid.refunded,
                auto_refund: self.settings.auto_refund,
                message: paid.message.clone(),
            }),
        }
    }

    /// The call's limits for a provider's own methods.
    pub(super) fn call_within(&self, budget: Budget, limit: Duration) -> Result<Call<'_>, Error> {
        let call = self.call(budget)?;
        Ok(Call { timeout: call.timeout.min(limit), ..call })
    }
}

/// An attempt, and who can speak for it at its provider.
#[derive(Clone)]
pub(super) struct AttemptContext<'a> {
    pub(super) provider: &'a Arc<dyn Provider>,
    pub(super) attempt: &'a Attempt,
    pub(super) account: Account,
}

/// Why a provider call has no result.
#[derive(Debug)]
pub(super) enum CallFailure {
    /// It was not made: the provider fails, and is left alone.
    NotMade(Refused),
    /// It was made.
    Failed(Failure),
}

/// Whether it is certain that the one close that was sent has not closed the trade.
fn is_not_closed(closing: &Result<CloseOutcome, CallFailure>) -> bool {
    match closing {
        Ok(CloseOutcome::TooEarly) => true,
        Ok(CloseOutcome::Closed | CloseOutcome::NotFound | CloseOutcome::Paid) => false,
        Err(CallFailure::NotMade(_)) => true,
        Err(CallFailure::Failed(failure)) => {
            matches!(failure, Failure::NotSent(_) | Failure::Throttled { .. })
        }
    }
}

impl CallFailure {
    /// What a client is told of a question, or a close, without an answer that can be believed.
    /// Logged here, where it is handled.
    pub(super) fn query_error(&self) -> Error {
        let unknown = Error::new(Kind::OutcomeUnknown);
        match self {
            CallFailure::NotMade(refused) => refused.error(),
            CallFailure::Failed(Failure::NotSent(reason)) => {
                tracing::warn!(reason, "a provider could not be asked");
                unknown
            }
            CallFailure::Failed(
                Failure::Refused { code, message }
                | Failure::NumberInUse { code, message }
                | Failure::Throttled { code, message },
            ) => {
                tracing::warn!(code, said = message, "a provider refused a question");
                unknown.provider_said(code, message)
            }
            CallFailure::Failed(Failure::OutcomeUnknown { reason, said }) => {
                let (code, words) = said.clone().unwrap_or_default();
                tracing::warn!(
                    reason,
                    code,
                    said = words,
                    "a provider could not tell what became of an order"
                );
                with_provider_error(unknown, said.as_ref())
            }
        }
    }
}

impl Refused {
    /// 5001: nothing was sent.
    pub(super) fn error(&self) -> Error {
        let seconds = self.retry_after.as_millis().div_ceil(1000);
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
        with_provider_error(Error::new(Kind::NotSent).retry_after_s(seconds), self.said.as_ref())
    }
}

/// With what a provider said, where it said something.
pub(super) fn with_provider_error(error: Error, said: Option<&(String, String)>) -> Error {
    match said {
        Some((code, message)) => error.provider_said(code, message),
        None => error,
    }
}
