//! An order, and what follows from what is recorded of it.

use serde::{Deserialize, Serialize};

use super::attempt::Attempt;
use super::payment::{Payment, PaymentRole};
use super::record::unknown::UnknownMembers;
use super::refund::Refund;
use crate::domain::channel::ProviderId;
use crate::domain::ids::{OutTradeNo, TransactionId};
use crate::domain::request::{Fingerprint, OrderTerms};
use crate::domain::time::Millis;

/// An order and everything that is known of its payment.
///
/// It changes only through [`Order::apply`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// What is bought.
    pub terms: OrderTerms,
    /// Digests of the terms, by which a repeat is compared.
    pub fingerprint: Fingerprint,
    /// `data.time_expire` of the first request.
    pub deadline: Option<Millis>,
    /// Where the order stands.
    pub status: OrderStatus,
    /// What else happened to it.
    pub flags: Flags,
    /// Every attempt, in order; never empty.
    pub attempts: Vec<Attempt>,
    /// Every payment, in the order in which they became known.
    pub payments: Vec<Payment>,
    /// The client that made the first request, for the shop's records.
    pub client: OrderClient,
    /// When the number was claimed.
    pub created_at: Millis,
    /// How often it changed: the compare-and-set of every commit.
    pub version: u64,
    /// The members of its record that this program does not know: kept, and never read.
    #[serde(skip)]
    pub unknown: UnknownMembers,
}

/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderStatus {
    /// Not paid.
    Open,
    /// Closed by `closePayment`.
    Closed,
    /// Paid.
    Paid,
    /// Some of it went back.
    PartRefunded,
    /// All of it went back.
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

/// What else happened to an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flags {
    /// It was paid more than once.
    pub duplicate_paid: bool,
    /// It was paid after it was closed.
    pub late_paid: bool,
    /// It holds a payment of another amount that did not go back.
    pub mismatch: bool,
}

/// The client that made an order's first request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OrderClient {
    /// vk-uni-pay's platform name.
    pub platform: String,
    /// The caller's address.
    pub client_ip: Option<String>,
    /// uni-app's app.
    pub app_id: Option<String>,
    /// uni-app's device.
    pub device_id: Option<String>,
    /// `data.nickname`.
    pub nickname: Option<String>,
}

impl Order {
    /// The order's number.
    #[must_use]
    pub fn out_trade_no(&self) -> &OutTradeNo {
        &self.terms.out_trade_no
    }

    /// Whether the order waits for its payment: it is open, and holds no payment of another amount.
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

    /// The order as it must be taken after its store was restored at `at` from a copy: what
    /// happened to an attempt between the copy and that moment is not in it, so that everything
    /// opened before may be in a buyer's hands.
    #[must_use]
    pub fn restored(mut self, at: Millis) -> Order {
        for it in self.attempts.iter_mut().filter(|it| it.opened_at < at && !it.is_ended()) {
            it.handed_out = true;
        }
        self
    }

    /// The attempt that the buyer asked for last.
    #[must_use]
    pub fn current(&self) -> &Attempt {
        let mut wanted = self.attempts.iter().rev().filter(|it| !it.superseded);
        let last = wanted.clone().next().unwrap_or_else(|| self.latest());
        // What ended before another one took its place was never superseded.
        wanted.find(|it| !it.is_ended()).unwrap_or(last)
    }

    /// The attempt number `n`.
    #[must_use]
    pub fn attempt(&self, n: u32) -> Option<&Attempt> {
        self.attempts.iter().find(|it| it.n == n)
    }

    /// Whether a buyer is meant to pay `attempt`, or another one with the same trade.
    #[must_use]
    pub fn is_offered(&self, attempt: &Attempt) -> bool {
        let offered = |it: &Attempt| it.is_presentable() && !it.superseded;
        self.is_unpaid() && self.attempts.iter().any(|it| it.shares_trade(attempt) && offered(it))
    }

    /// Until when a buyer is meant to pay `attempt`, or another one with the same trade, by any
    /// clock.
    #[must_use]
    pub fn offered_until(&self, attempt: &Attempt) -> Option<Millis> {
        let sharing = self.attempts.iter().filter(|it| it.shares_trade(attempt));
        let offered = sharing.filter(|it| it.is_presentable() && !it.superseded);
        offered.map(Attempt::lapses).max().filter(|_| self.is_offered(attempt))
    }

    /// The attempts that may be paid, or about which their provider owes an answer: one for each
    /// trade.
    #[must_use]
    pub fn open_trades(&self) -> Vec<u32> {
        self.trades(|it| it.is_payable() || it.is_unanswered())
    }

    /// The attempts that may be paid: one for each trade.
    #[must_use]
    pub fn live_trades(&self) -> Vec<u32> {
        self.trades(Attempt::is_payable)
    }

    /// The latest of the attempts that are `wanted`, for each trade: one that a buyer may hold, if
    /// there is one.
    #[must_use]
    pub fn trades(&self, wanted: impl Fn(&Attempt) -> bool) -> Vec<u32> {
        let mut found: Vec<&Attempt> = Vec::new();
        let live = self.attempts.iter().rev().filter(|it| it.is_payable());
        let others = self.attempts.iter().rev().filter(|it| !it.is_payable());
        for attempt in live.chain(others).filter(|it| wanted(it)) {
            if !found.iter().any(|it| it.shares_trade(attempt)) {
                found.push(attempt);
            }
        }
        found.sort_by_key(|it| std::cmp::Reverse(it.n));
        found.iter().map(|it| it.n).collect()
    }

    /// When a provider is to be asked about this order without anybody's request, if ever.
    #[must_use]
    pub fn due(&self) -> Option<Millis> {
        let attempts = self.attempts.iter().filter_map(|it| self.due_of(it));
        attempts.chain(self.payments.iter().filter_map(Payment::due)).min()
    }

    /// When this provider is to be asked, if ever.
    #[must_use]
    pub fn due_at(&self, at: ProviderId) -> Option<Millis> {
        let attempts = self.attempts.iter().filter(|it| it.method.provider() == at);
        let payments = self.payments.iter().filter(|it| self.provider_of(it) == Some(at));
        attempts.filter_map(|it| self.due_of(it)).chain(payments.filter_map(Payment::due)).min()
    }

    /// Where a payment was made.
    #[must_use]
    pub fn provider_of(&self, payment: &Payment) -> Option<ProviderId> {
        self.attempt(payment.attempt).map(|it| it.method.provider())
    }

    /// When the provider of `attempt` is to be asked about it without anybody's request: soon when
    /// it owes an answer, or when the attempt may still be paid and should not; if it is offered to
    /// the buyer, a minute before it expires, for a payment that nobody told, and when it lapsed.
    #[must_use]
    pub fn due_of(&self, attempt: &Attempt) -> Option<Millis> {
        if !attempt.is_payable() && !attempt.is_unanswered() {
            return None;
        }
        let again = attempt.next_look();
        if !self.is_offered(attempt) {
            return Some(again);
        }
        let is_new = attempt.last_queried_at.unwrap_or(attempt.opened_at) < attempt.ends();
        Some(again.max(if is_new { attempt.ends() } else { attempt.lapses() }))
    }

    /// The payment with this number; the one that made the order paid when none is named.
    #[must_use]
    pub fn payment(&self, id: Option<&TransactionId>) -> Option<&Payment> {
        self.payments.iter().find(|it| match id {
            Some(id) => it.transaction_id == *id,
            None => it.role == PaymentRole::Winning,
        })
    }

    /// The refund with this number, and the payment it is of.
    #[must_use]
    pub fn refund(&self, out_refund_no: &str) -> Option<(&Payment, &Refund)> {
        self.payments.iter().find_map(|payment| {
            let refund = payment.refunds.iter().find(|it| it.out_refund_no == out_refund_no)?;
            Some((payment, refund))
        })
    }
}
