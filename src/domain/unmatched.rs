//! Payments of no order: money that a provider took under a number that no stored order has.

use serde::{Deserialize, Serialize};

use super::channel::ProviderId;
use super::ids::{ChannelNo, Pid, TransactionId};
use super::money::Fen;
use super::time::Millis;

/// A payment that its provider reported, and that belongs to no order: the store was restored from
/// a copy, or the shop sold by another system under the same merchant. It stays recorded when its
/// order becomes known, and is then no longer listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnmatchedPayment {
    /// The provider that took the money.
    pub provider: ProviderId,
    /// The merchant that it took the money for.
    pub pid: Pid,
    /// The merchant's account at the provider.
    pub account: String,
    /// The order's number in the provider's message.
    pub channel_no: ChannelNo,
    /// The provider's number of the payment.
    pub transaction_id: TransactionId,
    /// The amount, in fen, or in hundredths of `currency`.
    pub total_fee: Fen,
    /// The currency, if it is not CNY.
    pub currency: Option<String>,
    /// When the provider took it, if it reports that.
    pub paid_at: Option<Millis>,
    /// When paygate got the provider's message.
    pub discovered_at: Millis,
    /// The provider's message, whose signature paygate verified: JSON.
    pub message: String,
}

impl UnmatchedPayment {
    /// The type in its event, in place of an order's: it selects the handler, and stands for
    /// `{type}` in the webhook's URL.
    pub const KIND: &'static str = "unmatched";

    /// The key by which a store records each payment once.
    #[must_use]
    pub fn key(&self) -> (ProviderId, Pid, TransactionId) {
        (self.provider, self.pid.clone(), self.transaction_id.clone())
    }

    /// Sorts `payments` as a store lists them, the newest last, and keeps the last `limit`.
    #[must_use]
    pub fn last(mut payments: Vec<&UnmatchedPayment>, limit: usize) -> Vec<UnmatchedPayment> {
        payments.sort_by_key(|payment| {
            let name = payment.provider.name();
            (payment.discovered_at, name, &payment.pid, &payment.transaction_id)
        });
        let older = payments.len().saturating_sub(limit);
        payments.into_iter().skip(older).cloned().collect()
    }
}
