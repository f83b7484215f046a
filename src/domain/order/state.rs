//! An order: its status, its attempts and its payments.

use serde::{Deserialize, Serialize};

use super::attempt::Attempt;
use super::payment::{Payment, PaymentRole};
use super::refund::Refund;
use super::unknown_members::UnknownMembers;
use crate::domain::channel::ProviderId;
use crate::domain::ids::{OutTradeNo, TransactionId};
use crate::domain::platform::Platform;
use crate::domain::request::{Fingerprint, OrderTerms};
use crate::domain::time::{HOUR_MS, Millis};

/// An order with its attempts, its payments and their refunds.
///
/// It changes only through [`Order::apply`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// The terms of the order.
    pub terms: OrderTerms,
    /// Digests of the terms, to compare a repeated request.
    pub fingerprint: Fingerprint,
    /// `data.time_expire` of the first request.
    pub deadline: Option<Millis>,
    /// The status of the order.
    pub status: OrderStatus,
    /// Irregular payments that it got.
    pub flags: Flags,
    /// Every attempt, in order; never empty.
    pub attempts: Vec<Attempt>,
    /// Every payment, in the order in which they became known.
    pub payments: Vec<Payment>,
    /// The client that made the first request, for the shop's records.
    pub client: OrderClient,
    /// When the first request claimed the number.
    pub created_at: Millis,
    /// The count of its changes, for the compare-and-set of every commit.
    pub version: u64,
    /// The members of its record that this program does not know: it keeps them, and never reads
    /// them.
    #[serde(skip)]
    pub unknown: UnknownMembers,
}

/// The status of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderStatus {
    /// Not paid.
    Open,
    /// Closed by `closePayment`.
    Closed,
    /// Paid.
    Paid,
    /// The provider refunded a part of it.
    PartRefunded,
    /// The provider refunded all of it.
    Refunded,
}

impl OrderStatus {
    /// vk-uni-pay's number: -1 closed, 0 unpaid, 1 paid, 2 partly refunded, 3 refunded.
    #[must_use]
    pub fn number(self) -> i8 {
        match self {
            OrderStatus::Closed => -1,
            OrderStatus::Open => 0,
            OrderStatus::Paid => 1,
            OrderStatus::PartRefunded => 2,
            OrderStatus::Refunded => 3,
        }
    }
}

/// The irregular payments of an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flags {
    /// The buyer paid it more than once.
    pub duplicate_paid: bool,
    /// The buyer paid it after it was closed.
    pub late_paid: bool,
    /// It holds a payment that does not match it (amount, currency, app or merchant) and is not
    /// refunded.
    pub mismatch: bool,
}

/// The client that made an order's first request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OrderClient {
    /// vk-uni-pay's platform name.
    pub platform: String,
    /// The client's address.
    pub client_ip: Option<String>,
    /// uni-app's app id.
    pub app_id: Option<String>,
    /// uni-app's device id.
    pub device_id: Option<String>,
    /// `data.nickname`.
    pub nickname: Option<String>,
}

impl OrderClient {
    /// uni-app's name of [`OrderClient::platform`]: `app`, `web`, `mp-weixin`.
    #[must_use]
    pub fn uni_platform(&self) -> &str {
        match Platform::parse(&self.platform) {
            Some(platform) => platform.uni_name(),
            None => &self.platform,
        }
    }
}

impl Order {
    /// The order's number.
    #[must_use]
    pub fn out_trade_no(&self) -> &OutTradeNo {
        &self.terms.out_trade_no
    }

    /// Whether the order waits for its payment: it is open, and holds no payment that does not
    /// match it.
    #[must_use]
    pub fn is_unpaid(&self) -> bool {
        self.status == OrderStatus::Open && !self.flags.mismatch
    }

    /// The latest attempt.
    ///
    /// # Panics
    ///
    /// Never: an order is made with its first attempt and loses none.
    #[must_use]
    pub fn latest(&self) -> &Attempt {
        self.attempts.last().expect("an order is made with its first attempt")
    }

    /// The order after an operator restored its store at `at` from a copy. The copy lacks the
    /// changes made between the copy and `at`, so that a buyer may hold the material of every
    /// attempt that opened before `at`.
    #[must_use]
    pub fn restored(mut self, at: Millis) -> Order {
        for attempt in &mut self.attempts {
            if attempt.opened_at < at && !attempt.is_ended() {
                attempt.handed_out = true;
            }
        }
        self
    }

    /// The order by the clock of `now`. Nothing was opened or queried later than that: what paygate
    /// noted while its clock was ahead counts as long ago, so that the next query does not wait
    /// until the clock is there again.
    #[must_use]
    pub fn by_clock(mut self, now: Millis) -> Order {
        let long_ago = now.plus(HOUR_MS.saturating_neg());
        let corrected = |at: Millis| if at > now { long_ago } else { at };
        for attempt in &mut self.attempts {
            attempt.opened_at = corrected(attempt.opened_at);
            attempt.last_queried_at = attempt.last_queried_at.map(corrected);
        }
        for refund in self.payments.iter_mut().flat_map(|payment| &mut payment.refunds) {
            refund.last_queried_at = refund.last_queried_at.map(corrected);
        }
        self
    }

    /// The attempt that the buyer chose last.
    #[must_use]
    pub fn current(&self) -> &Attempt {
        let mut wanted = self.attempts.iter().rev().filter(|attempt| !attempt.superseded);
        let last = wanted.clone().next().unwrap_or_else(|| self.latest());
        // An attempt that ended before another one took its place was never superseded.
        wanted.find(|attempt| !attempt.is_ended()).unwrap_or(last)
    }

    /// The attempt number `n`.
    #[must_use]
    pub fn attempt(&self, n: u32) -> Option<&Attempt> {
        self.attempts.iter().find(|attempt| attempt.n == n)
    }

    /// Whether paygate offers the buyer `attempt`, or another one with the same trade.
    #[must_use]
    pub fn is_offered(&self, attempt: &Attempt) -> bool {
        let is_offered = |other: &Attempt| other.is_presentable() && !other.superseded;
        let mut sharing = self.attempts.iter().filter(|other| other.shares_trade(attempt));
        self.is_unpaid() && sharing.any(is_offered)
    }

    /// Until when paygate offers the buyer `attempt`, or another one with the same trade, by either
    /// clock.
    #[must_use]
    pub fn offered_until(&self, attempt: &Attempt) -> Option<Millis> {
        let sharing = self.attempts.iter().filter(|other| other.shares_trade(attempt));
        let offered = sharing.filter(|other| other.is_presentable() && !other.superseded);
        offered.map(Attempt::lapses).max().filter(|_| self.is_offered(attempt))
    }

    /// Whether an attempt whose trade waits for its buyer stays open: the buyer is meant to pay it,
    /// and has time to.
    pub(crate) fn stays_open(&self, attempt: &Attempt, now: Millis) -> bool {
        self.offered_until(attempt).is_some_and(|until| now < until)
    }

    /// Whether paygate sends `attempt`, whose trade exists, again: its outcome was unknown, and its
    /// buyer waits for its material.
    pub(crate) fn awaits_material(&self, attempt: &Attempt, now: Millis) -> bool {
        let is_current = self.is_unpaid() && self.current().n == attempt.n && !attempt.superseded;
        let is_interrupted = attempt.is_unknown() && !attempt.close_intended;
        is_current && is_interrupted && attempt.has_time(now)
    }

    /// The numbers of the attempts that a buyer may pay, or whose outcome their provider has not
    /// reported: one for each trade.
    #[must_use]
    pub fn open_trades(&self) -> Vec<u32> {
        self.trades(|attempt| attempt.is_payable() || attempt.is_unanswered())
    }

    /// The number of the latest `wanted` attempt of each trade: of one that a buyer may pay, if
    /// there is one.
    #[must_use]
    pub fn trades(&self, wanted: impl Fn(&Attempt) -> bool) -> Vec<u32> {
        let mut found: Vec<&Attempt> = Vec::new();
        let live = self.attempts.iter().rev().filter(|attempt| attempt.is_payable());
        let others = self.attempts.iter().rev().filter(|attempt| !attempt.is_payable());
        for attempt in live.chain(others).filter(|attempt| wanted(attempt)) {
            if !found.iter().any(|other| other.shares_trade(attempt)) {
                found.push(attempt);
            }
        }
        found.sort_by_key(|attempt| std::cmp::Reverse(attempt.n));
        found.iter().map(|attempt| attempt.n).collect()
    }

    /// When paygate queries a provider about this order without a request, if ever.
    #[must_use]
    pub fn due(&self) -> Option<Millis> {
        let attempts = self.attempts.iter().filter_map(|attempt| self.due_of(attempt));
        attempts.chain(self.payments.iter().filter_map(Payment::due)).min()
    }

    /// When paygate queries the provider `at` about this order without a request, if ever.
    #[must_use]
    pub fn due_with(&self, provider: ProviderId) -> Option<Millis> {
        let is_there = |attempt: &&Attempt| attempt.method.provider() == provider;
        let attempts = self.attempts.iter().filter(is_there);
        let is_paid_there = |payment: &&Payment| self.provider_of(payment) == Some(provider);
        let payments = self.payments.iter().filter(is_paid_there);
        let attempts = attempts.filter_map(|attempt| self.due_of(attempt));
        attempts.chain(payments.filter_map(Payment::due)).min()
    }

    /// The provider of a payment.
    #[must_use]
    pub fn provider_of(&self, payment: &Payment) -> Option<ProviderId> {
        self.attempt(payment.attempt).map(|attempt| attempt.method.provider())
    }

    /// When paygate queries the provider about `attempt` without a request: soon when its outcome
    /// is unknown, or when the buyer may still pay it and should not; if paygate offers it to the
    /// buyer, a minute before it expires, in case a notification was lost, and when it lapsed.
    #[must_use]
    pub fn due_of(&self, attempt: &Attempt) -> Option<Millis> {
        if !attempt.is_payable() && !attempt.is_unanswered() {
            return None;
        }
        let again = attempt.next_query();
        if !self.is_offered(attempt) {
            return Some(again);
        }
        let is_new =
            attempt.last_queried_at.unwrap_or(attempt.opened_at) < attempt.last_minute_from();
        Some(again.max(if is_new { attempt.last_minute_from() } else { attempt.lapses() }))
    }

    /// The payment with this number.
    #[must_use]
    pub fn payment(&self, id: &TransactionId) -> Option<&Payment> {
        self.payments.iter().find(|payment| payment.transaction_id == *id)
    }

    /// The payment that made the order paid.
    #[must_use]
    pub fn winning_payment(&self) -> Option<&Payment> {
        self.payments.iter().find(|payment| payment.role == PaymentRole::Winning)
    }

    /// The refund with this number, and the payment it is of.
    #[must_use]
    pub fn refund(&self, out_refund_no: &str) -> Option<(&Payment, &Refund)> {
        self.payments.iter().find_map(|payment| {
            let mut refunds = payment.refunds.iter();
            let refund = refunds.find(|refund| refund.out_refund_no == out_refund_no)?;
            Some((payment, refund))
        })
    }
}
