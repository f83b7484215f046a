//! Adopts a trade that no attempt of the order opened: an attempt is made that stands for it, so
//! that its provider can be queried, and the payment refunded.

use crate::domain::order::Order;
use crate::domain::order::attempt::{Attempt, AttemptState, Params};
use crate::engine::parts::EngineParts;
use crate::engine::verified_payment::VerifiedPayment;

impl EngineParts {
    /// The attempt that stands for the trade of another of the merchant's accounts under the same
    /// number: that payment does not pay the trade of the order's own account.
    pub(super) fn attempt_of_another_account(
        &self,
        order: &Order,
        payment: VerifiedPayment<'_>,
    ) -> Option<Attempt> {
        let (attempt, _) = payment.attempt(order)?;
        let ours = attempt.account.as_ref()?;
        let adopted = payment.target.provider.adopt(payment.channel_no, payment.trade, "")?;
        let is_apart = !ours.shares_numbers(&adopted.account);
        is_apart.then(|| self.adopted_attempt(order, payment))?
    }

    /// The attempt that stands for a trade which none of the order's attempts opened. [`None`]
    /// when the trade is not in an account of this merchant.
    pub(super) fn adopted_attempt(
        &self,
        order: &Order,
        payment: VerifiedPayment<'_>,
    ) -> Option<Attempt> {
        let (out_trade_no, provider) = (order.out_trade_no(), payment.target.provider.id());
        let attempt = self.stand_in(order.latest().n.saturating_add(1), payment);
        match &attempt {
            Some(_) => {
                tracing::warn!(
                    %out_trade_no,
                    %provider,
                    "a buyer paid a trade that no attempt of the order opened"
                );
            }
            None => {
                tracing::error!(
                    %out_trade_no,
                    %provider,
                    "a buyer paid an account that the merchant's configuration does not hold"
                );
            }
        }
        attempt
    }

    /// An attempt by which the provider can be queried about a trade that was not opened here.
    pub(super) fn stand_in(&self, n: u32, payment: VerifiedPayment<'_>) -> Option<Attempt> {
        let target = payment.target;
        let adopted = target.provider.adopt(payment.channel_no, payment.trade, "")?;
        let (method, account) = (adopted.method, Some(adopted.account));
        let notify_url = self.providers.notify_url(method.pay_type, target.pid);
        let opened_at = payment.trade.paid_at.unwrap_or_else(|| self.clock.now());
        Some(Attempt {
            n,
            params: Params { notify_url, ..adopted.params },
            method,
            channel_no: payment.channel_no.clone(),
            expires_at: opened_at,
            opened_at,
            state: AttemptState::Prepared,
            last_queried_at: None,
            superseded: true,
            handed_out: true,
            close_intended: false,
            account,
        })
    }
}
