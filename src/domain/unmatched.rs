//! Payments of no order: money that a provider took under a number that nobody here ordered by.

use serde::{Deserialize, Serialize};

use super::channel::ProviderId;
use super::ids::{ChannelNo, Pid, TransactionId};
use super::money::Fen;
use super::time::Millis;

/// A payment that its provider told, and that belongs to no order: the store was restored from a
/// copy, or the shop sold it by another system under the same merchant. It stays recorded when its
/// order becomes known, and is then no longer listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnmatchedPayment {
    /// Who took the money.
    pub provider: ProviderId,
    /// For which merchant.
    pub pid: Pid,
    /// The merchant's account at the provider.
    pub account: String,
    /// The order's number, as the provider told it.
    pub channel_no: ChannelNo,
    /// The provider's number of the payment.
    pub transaction_id: TransactionId,
    /// How much, in fen, or in hundredths of `currency`.
    pub total_fee: Fen,
    /// The currency, if it is not CNY.
    pub currency: Option<String>,
    /// When the provider took it, if told.
    pub paid_at: Option<Millis>,
    /// When it became known here.
    pub discovered_at: Millis,
    /// The provider's message as it was verified, JSON.
    pub message: String,
}

impl UnmatchedPayment {
    /// What comes in place of the order's type in its event: it picks the handler, and stands for
    /// `{type}` in the webhook's URL.
    pub const KIND: &'static str = "unmatched";
}
