//! A payment as a verified message reports it, compared with the order it claims to pay.

use crate::domain::ids::{ChannelNo, Pid};
use crate::domain::order::Order;
use crate::domain::order::attempt::Attempt;
use crate::domain::order::payment::PaymentRole;
use crate::provider::{PaidTrade, Provider};

/// The merchant and the provider that a notification came to.
#[derive(Clone, Copy, Debug)]
pub(super) struct NotificationTarget<'a> {
    pub(super) provider: &'a dyn Provider,
    pub(super) pid: &'a Pid,
}

/// A payment as a verified notification, or a query's answer, reports it.
#[derive(Clone, Copy)]
pub(super) struct VerifiedPayment<'a> {
    pub(super) target: NotificationTarget<'a>,
    /// The number that the provider knows its trade by.
    pub(super) channel_no: &'a ChannelNo,
    pub(super) trade: &'a PaidTrade,
    /// If it is not CNY.
    pub(super) currency: Option<&'a str>,
}

impl<'a> VerifiedPayment<'a> {
    /// A payment in CNY.
    pub(super) fn new(
        target: NotificationTarget<'a>,
        channel_no: &'a ChannelNo,
        trade: &'a PaidTrade,
    ) -> VerifiedPayment<'a> {
        VerifiedPayment { target, channel_no, trade, currency: None }
    }

    /// The same payment in another currency.
    pub(super) fn in_currency(self, currency: &'a str) -> VerifiedPayment<'a> {
        VerifiedPayment { currency: Some(currency), ..self }
    }

    /// Whether another version of the provider's protocol opened every attempt under its number
    /// than the one that reports it.
    pub(super) fn is_of_another_version(&self, order: &Order) -> bool {
        let version = self.target.provider.version();
        let is_other = |attempt: &Attempt| {
            attempt.account.as_ref().is_some_and(|account| account.api_version != version)
        };
        let mut sharing = self.attempts_under_number(order).peekable();
        sharing.peek().is_some() && sharing.all(is_other)
    }

    /// The attempts of `order` under its number, the latest first.
    fn attempts_under_number<'o>(&self, order: &'o Order) -> impl Iterator<Item = &'o Attempt> {
        let (id, number) = (self.target.provider.id(), self.channel_no.clone());
        let attempts = order.attempts.iter().rev();
        let is_under = move |attempt: &&Attempt| {
            attempt.method.provider() == id && attempt.channel_no == number
        };
        attempts.filter(is_under)
    }

    /// The attempt of `order` that made the trade, or another one under its number, and whether
    /// the app and the merchants are that attempt's.
    pub(super) fn attempt<'o>(&self, order: &'o Order) -> Option<(&'o Attempt, bool)> {
        let sharing = || self.attempts_under_number(order);
        let is_own =
            |attempt: &&Attempt| self.target.provider.matches_attempt(attempt, &self.trade.message);
        let own = sharing().find(is_own).map(|attempt| (attempt, true));
        own.or_else(|| sharing().next().map(|attempt| (attempt, false)))
    }

    /// Whether the trade is in another of the merchant's accounts than the order's own trade under
    /// this number: it does not pay the order, whatever its amount.
    pub(super) fn is_of_another_account(&self, order: &Order) -> bool {
        let Some((attempt, true)) = self.attempt(order) else { return false };
        let mut sharing = self.attempts_under_number(order);
        sharing.any(|other| other.n < attempt.n && !other.shares_trade(attempt))
    }

    /// Whether the record of this payment differs from what this message reports.
    pub(super) fn disputes(&self, order: &Order) -> bool {
        let Some(known) = order.payment(&self.trade.transaction_id) else { return false };
        let is_own = self.attempt(order).is_some_and(|(_, is_own)| is_own);
        let is_orders = is_own && !self.is_of_another_account(order);
        let matches_order = is_orders && self.currency.is_none();
        let is_price = self.trade.total_fee == order.terms.total_fee;
        let was_mismatch = known.role == PaymentRole::Mismatch;
        known.total_fee != self.trade.total_fee
            || (was_mismatch && matches_order && is_price)
            || (!was_mismatch && !matches_order)
    }
}
