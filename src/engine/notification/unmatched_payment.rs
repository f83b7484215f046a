//! A payment that belongs to no order: recorded as unmatched, and never acknowledged.

use super::QUERY_TIMEOUT;
use crate::domain::order::attempt::Attempt;
use crate::domain::unmatched::UnmatchedPayment;
use crate::engine::parts::EngineParts;
use crate::engine::providers::AttemptContext;
use crate::engine::verified_payment::VerifiedPayment;
use crate::error::{Error, Kind};
use crate::provider::TradeState;

impl EngineParts {
    /// Records a payment of no order, with the event about it: as its provider answers where it
    /// can be queried, since another message may disagree with this one.
    ///
    /// # Errors
    ///
    /// Always: the provider is not acknowledged, and notifies again should the order be restored.
    pub(super) async fn record_unmatched_payment(
        &self,
        payment: VerifiedPayment<'_>,
    ) -> Result<(), Error> {
        let attempt = self.stand_in(1, payment);
        let account = attempt.as_ref().and_then(|attempt| attempt.account.clone());
        let answer = match &attempt {
            Some(attempt) => self.query_stand_in(payment, attempt).await?,
            None => None,
        };
        let trade = match &answer {
            Some(TradeState::Paid(paid)) if paid.transaction_id == payment.trade.transaction_id => {
                paid
            }
            _ => payment.trade,
        };
        self.record_unmatched(UnmatchedPayment {
            provider: payment.target.provider.id(),
            pid: payment.target.pid.clone(),
            account: account.map(|account| account.to_string()).unwrap_or_default(),
            channel_no: payment.channel_no.clone(),
            transaction_id: trade.transaction_id.clone(),
            total_fee: trade.total_fee,
            currency: payment.currency.map(str::to_owned),
            paid_at: trade.paid_at,
            discovered_at: self.clock.now(),
            message: payment.trade.message.to_string(),
        })
        .await?;
        Err(Error::new(Kind::NoSuchOrder))
    }

    async fn query_stand_in(
        &self,
        payment: VerifiedPayment<'_>,
        attempt: &Attempt,
    ) -> Result<Option<TradeState>, Error> {
        let id = payment.target.provider.id();
        let provider = self.providers.provider(payment.target.pid, id);
        let (Some(provider), Some(account)) = (provider, attempt.account.clone()) else {
            return Ok(None);
        };
        let call = self.providers.call_within(QUERY_TIMEOUT)?;
        let context = AttemptContext { provider, attempt, account };
        Ok(self.providers.query_trade(context, call).await.ok())
    }
}
