//! The merchants' providers, and how the engine calls them: within the time that one request has,
//! and through a circuit breaker for each account and operation.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::circuit_breaker::{CircuitBreakers, Operation};
use super::failures::CallFailure;
use super::settings::Settings;
use crate::clock::Clock;
use crate::domain::channel::{PayType, ProviderId};
use crate::domain::ids::Pid;
use crate::domain::notify_url;
use crate::domain::order::attempt::{Account, Attempt, Material};
use crate::domain::order::{Order, Receipt, TradeUpdate};
use crate::error::{Error, Kind};
use crate::provider::{Call, Failure, Provider, TradeState, Transport};

/// The providers of one merchant.
pub(super) type MerchantProviders = BTreeMap<ProviderId, Arc<dyn Provider>>;

/// Every merchant's providers, and what calls to them need.
pub(super) struct Providers {
    pub(super) merchants: BTreeMap<Pid, MerchantProviders>,
    pub(super) breakers: CircuitBreakers,
    pub(super) transport: Arc<dyn Transport>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) settings: Arc<Settings>,
}

/// An attempt, and the merchant account that opened it.
#[derive(Clone)]
pub(super) struct AttemptContext<'a> {
    pub(super) provider: &'a Arc<dyn Provider>,
    pub(super) attempt: &'a Attempt,
    pub(super) account: Account,
}

/// The time that all provider calls of one request share.
#[derive(Clone, Copy, Debug)]
pub(super) struct CallBudget {
    ends: Instant,
}

/// A call with less time than this would only make its outcome unknown.
const CALL_MIN: Duration = Duration::from_millis(100);

impl Providers {
    pub(super) fn provider(&self, pid: &Pid, id: ProviderId) -> Option<&Arc<dyn Provider>> {
        self.merchants.get(pid)?.get(&id)
    }

    /// Where `pay_type`'s provider reports payments to the merchant `pid`.
    pub(super) fn notify_url(&self, pay_type: PayType, pid: &Pid) -> String {
        notify_url::notify_url(&self.settings.notify_base, pay_type, pid)
    }

    /// The attempt `n`, with the account that opened it.
    ///
    /// # Errors
    ///
    /// 5002 when that account is no longer configured: no other account is asked about it.
    pub(super) fn context<'a>(
        &'a self,
        order: &'a Order,
        n: u32,
    ) -> Result<AttemptContext<'a>, Error> {
        let found = order.attempt(n).and_then(|attempt| {
            let provider = self.provider(&order.terms.pid, attempt.method.provider())?;
            let account = provider.account_of(attempt)?;
            provider.has_account(&account).then_some(AttemptContext { provider, attempt, account })
        });
        found.ok_or_else(|| {
            let out_trade_no = order.out_trade_no();
            tracing::error!(
                %out_trade_no,
                n,
                "the configuration no longer holds the merchant account of an attempt"
            );
            Error::new(Kind::OutcomeUnknown)
        })
    }

    /// The whole time for the calls of one request, from now on.
    pub(super) fn budget(&self) -> CallBudget {
        CallBudget { ends: Instant::now() + self.settings.call_budget }
    }

    /// The next call of a request.
    ///
    /// # Errors
    ///
    /// 4103 when no time is left: nothing of this call was sent.
    pub(super) fn next_call(&self, budget: CallBudget) -> Result<Call<'_>, Error> {
        let left = budget.ends.saturating_duration_since(Instant::now());
        let timeout = call_time(left, self.settings.call_timeout);
        let timeout = timeout.ok_or_else(|| Error::new(Kind::Busy))?;
        Ok(Call { transport: self.transport.as_ref(), clock: self.clock.as_ref(), timeout })
    }

    /// A call of a request of its own that takes at most `limit`.
    ///
    /// # Errors
    ///
    /// As [`Providers::call`].
    pub(super) fn call_within(&self, limit: Duration) -> Result<Call<'_>, Error> {
        let call = self.next_call(self.budget())?;
        Ok(Call { timeout: call.timeout.min(limit), ..call })
    }

    /// Makes a call, unless the circuit breaker is open.
    ///
    /// # Errors
    ///
    /// Why the call has no result, or was not made.
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

    /// Queries the trade of an attempt.
    ///
    /// # Errors
    ///
    /// As [`Providers::guarded`].
    pub(super) async fn query_trade(
        &self,
        context: AttemptContext<'_>,
        call: Call<'_>,
    ) -> Result<TradeState, CallFailure> {
        let queried = context.provider.query(context.attempt, call);
        self.guarded(context.account, Operation::Query, queried).await
    }

    /// Opens an attempt. A product that needs only our own signature makes no call, and says
    /// nothing about the provider.
    ///
    /// # Errors
    ///
    /// As [`Providers::guarded`].
    pub(super) async fn open(
        &self,
        context: AttemptContext<'_>,
        call: Call<'_>,
    ) -> Result<Material, CallFailure> {
        let opened = context.provider.open(context.attempt, call);
        match context.attempt.method.product.is_local() {
            true => opened.await.map_err(CallFailure::Failed),
            false => self.guarded(context.account, Operation::Open, opened).await,
        }
    }

    /// What the provider's answer means to the order.
    pub(super) fn trade_update(&self, trade: &TradeState) -> TradeUpdate {
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
}

/// How long a call may take when so much of its request's time is left, if that is enough for one.
fn call_time(left: Duration, timeout: Duration) -> Option<Duration> {
    (left >= CALL_MIN).then(|| timeout.min(left))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_takes_no_longer_than_is_left_and_is_not_made_in_less_than_100_ms() {
        let ms = Duration::from_millis;
        for (left, expected) in [
            (ms(0), None),
            (ms(99), None),
            (ms(100), Some(ms(100))),
            (ms(7_999), Some(ms(7_999))),
            (ms(8_001), Some(ms(8_000))),
        ] {
            assert_eq!(call_time(left, ms(8_000)), expected, "{left:?}");
        }
    }
}
