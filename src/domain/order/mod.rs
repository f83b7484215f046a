//! An order: what is bought, and every attempt to have it paid.

pub mod admission;
pub mod attempt;
pub mod next_attempt;
pub mod payment;
pub mod record;
pub mod transition;

use serde::{Deserialize, Serialize};

use super::channel::{Product, ProviderId};
use super::ids::OutTradeNo;
use super::request::{Fingerprint, OrderTerms};
use super::time::Millis;
use attempt::{Attempt, AttemptState};
use payment::{Payment, PaymentRole};
use record::Unknown;
pub use transition::{AutoRefundPolicy, Receipt, TradeUpdate, Transition};

/// An order and everything that is known of its payment.
///
/// It changes only through [`Order::apply`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// What is bought.
    pub terms: OrderTerms,
    /// Digests of the facts, by which a repeat is compared.
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
    /// Who asked first, for the shop's records.
    pub origin: Origin,
    /// When the number was claimed.
    pub created_at: Millis,
    /// How often it changed: the compare-and-set of every commit.
    pub version: u64,
    /// What a newer paygate recorded of it: kept, and never looked at.
    #[serde(skip)]
    pub unknown: Unknown,
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

/// Who asked first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Origin {
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
        let is_open = self.status == OrderStatus::Open && !self.flags.mismatch;
        let offered = |it: &Attempt| it.is_presentable() && !it.superseded;
        is_open && self.attempts.iter().any(|it| it.shares_trade(attempt) && offered(it))
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

    /// The order after `event`, one version on; `None` when the event tells nothing new, because
    /// more is known of the attempt already.
    #[must_use]
    pub fn apply(&self, event: Transition) -> Option<Order> {
        let mut next = self.clone();
        match event {
            Transition::Opened(attempt) => next.open(*attempt)?,
            Transition::Offered { n } => next.offer(n)?,
            Transition::CloseIntended { n } => next.intend_close(n, true)?,
            Transition::CloseRefused { n } => next.intend_close(n, false)?,
            Transition::Adopted { attempt, at, receipt } => {
                let n = attempt.n;
                next.adopt(*attempt)?;
                next.asked(n, at, TradeUpdate::Paid(receipt))?;
            }
            Transition::Corrected { n, receipt } => next.correct(n, receipt)?,
            Transition::NotSent { n } => next.advance(n, AttemptState::NotSent)?,
            Transition::Answered { n, material, valid_until } => {
                next.answered(n, AttemptState::Payable { material, valid_until })?;
            }
            Transition::Refused { n, code, message } => {
                next.advance(n, AttemptState::Refused { code, message })?;
            }
            Transition::NumberInUse { n, code } => {
                next.advance(n, AttemptState::NumberInUse { code })?
            }
            Transition::OutcomeUnknown { n, reason } => {
                next.advance(n, AttemptState::OutcomeUnknown { reason })?
            }
            Transition::Resending { n } => next.again(n)?,
            Transition::TradeQueried { n, at, said } => next.asked(n, at, said)?,
            Transition::Closed => next.close()?,
            Transition::RefundRequested { transaction_id, refund } => {
                next.request_refund(&transaction_id, *refund)?;
            }
            Transition::RefundSending { out_refund_no } => next.refund_sending(&out_refund_no)?,
            Transition::RefundQueried { out_refund_no, at, said } => {
                next.record_refund_update(&out_refund_no, at, said);
            }
            Transition::RefundedExternally { transaction_id, refund, all, at } => {
                next.external_refund(&transaction_id, refund.map(|it| *it), (all, at))?;
            }
        }
        next.version = next.version.saturating_add(1);
        Some(next)
    }

    fn open(&mut self, attempt: Attempt) -> Option<()> {
        self.supersede();
        self.add(attempt)
    }

    /// An attempt's number is never used again.
    fn add(&mut self, attempt: Attempt) -> Option<()> {
        let n = self.latest().n.saturating_add(1);
        (attempt.n == n).then(|| self.attempts.push(attempt))
    }

    fn adopt(&mut self, attempt: Attempt) -> Option<()> {
        self.add(Attempt { superseded: true, handed_out: true, ..attempt })
    }

    fn offer(&mut self, n: u32) -> Option<()> {
        self.supersede();
        self.attempts.iter_mut().find(|it| it.n == n).map(|it| it.superseded = false)
    }

    fn close(&mut self) -> Option<()> {
        self.supersede();
        (self.status == OrderStatus::Open).then(|| self.status = OrderStatus::Closed)
    }

    fn supersede(&mut self) {
        for it in self.attempts.iter_mut().filter(|it| !it.is_ended()) {
            it.superseded = true;
        }
    }

    fn intend_close(&mut self, n: u32, intended: bool) -> Option<()> {
        let closed = self.attempt(n)?.clone();
        let mut changed = None;
        for it in self.attempts.iter_mut().filter(|it| it.shares_trade(&closed)) {
            if it.close_intended != intended && !it.is_ended() {
                it.close_intended = intended;
                changed = Some(());
            }
        }
        changed
    }

    fn advance(&mut self, n: u32, state: AttemptState) -> Option<()> {
        let attempt = self.attempts.iter_mut().find(|it| it.n == n)?;
        // The provider knew the number: whoever ordered under it may hold what pays it. A call of
        // alipay.trade.create may have made a trade that its buyer finds.
        let is_taken = matches!(state, AttemptState::NumberInUse { .. });
        let is_lost = matches!(state, AttemptState::OutcomeUnknown { .. });
        attempt.handed_out |= is_taken || (is_lost && attempt.method.product == Product::Create);
        (state.precedence() > attempt.state.precedence()).then(|| attempt.state = state)
    }

    fn again(&mut self, n: u32) -> Option<()> {
        let attempt = self.attempts.iter_mut().find(|it| it.n == n)?;
        let is_answered = attempt.state.precedence() == AttemptState::NotFound.precedence();
        is_answered.then(|| attempt.state = AttemptState::Prepared)
    }

    /// Material for an attempt, or newer material for one that has some.
    fn answered(&mut self, n: u32, live: AttemptState) -> Option<()> {
        let attempt = self.attempts.iter_mut().find(|it| it.n == n)?;
        if attempt.close_intended || live.precedence() < attempt.state.precedence() {
            return None;
        }
        attempt.handed_out = true;
        attempt.state = live;
        self.offer(n)
    }

    fn asked(&mut self, n: u32, at: Millis, said: TradeUpdate) -> Option<()> {
        let asked = self.attempt(n)?.clone();
        for it in self.attempts.iter_mut().filter(|it| it.shares_trade(&asked)) {
            it.last_queried_at = Some(at);
            it.apply_update(n, at, &said);
        }
        if let TradeUpdate::Paid(receipt) = said {
            self.paid(n, at, receipt);
        }
        Some(())
    }

    /// Takes a payment into account, once.
    fn paid(&mut self, n: u32, at: Millis, receipt: Receipt) {
        if self.payments.iter().any(|it| it.transaction_id == receipt.transaction_id) {
            return;
        }
        let role = self.role_of(&receipt);
        self.take_role(role);
        self.payments.push(Payment {
            attempt: n,
            transaction_id: receipt.transaction_id,
            total_fee: receipt.total_fee,
            paid_at: receipt.paid_at,
            openid: receipt.openid,
            discovered_at: at,
            role,
            auto_refund: receipt.auto_refund.of(role),
            refund_unknown: receipt.refunded,
            reported_refund_total: None,
            unidentified_since: None,
            refunds: Vec::new(),
        });
        self.recompute_status();
    }

    /// What a payment that becomes known now is to the order.
    fn role_of(&self, receipt: &Receipt) -> PaymentRole {
        let is_paid = self.payment(None).is_some();
        let is_price = receipt.total_fee == self.terms.total_fee;
        match self.status {
            _ if !receipt.matches_order || !(is_price || is_paid) => PaymentRole::Mismatch,
            OrderStatus::Open => PaymentRole::Winning,
            OrderStatus::Closed => PaymentRole::Late,
            OrderStatus::Paid | OrderStatus::PartRefunded | OrderStatus::Refunded => {
                PaymentRole::Duplicate
            }
        }
    }

    fn take_role(&mut self, role: PaymentRole) {
        match role {
            PaymentRole::Winning => {
                self.status = OrderStatus::Paid;
                self.supersede();
            }
            PaymentRole::Duplicate => self.flags.duplicate_paid = true,
            PaymentRole::Late => self.flags.late_paid = true,
            PaymentRole::Mismatch => self.flags.mismatch = true,
        }
    }

    /// Puts what the provider says of a known payment in the place of what was recorded. What did
    /// not fit and does becomes the order's payment; what the shop was told of stays what it is,
    /// with the right amount.
    fn correct(&mut self, n: u32, receipt: Receipt) -> Option<()> {
        let id = receipt.transaction_id.clone();
        let known = self.payments.iter().position(|it| it.transaction_id == id)?;
        let was = self.payments.get(known)?;
        let judged = self.role_of(&receipt);
        let is_mended = was.role == PaymentRole::Mismatch && judged != PaymentRole::Mismatch;
        if !is_mended && was.total_fee == receipt.total_fee {
            return None;
        }
        let role = if is_mended { judged } else { was.role };
        if is_mended {
            self.take_role(role);
        }
        let payment = self.payments.get_mut(known)?;
        payment.attempt = n;
        payment.total_fee = receipt.total_fee;
        payment.paid_at = receipt.paid_at;
        payment.role = role;
        payment.auto_refund = receipt.auto_refund.of(role);
        payment.openid = receipt.openid.or_else(|| payment.openid.take());
        payment.refund_unknown |= receipt.refunded && payment.refunds.is_empty();
        self.recompute_status();
        Some(())
    }
}

impl Attempt {
    /// What a provider said of the trade: `n` is the attempt that it was asked about, and that is
    /// paid if the trade is.
    fn apply_update(&mut self, n: u32, at: Millis, said: &TradeUpdate) {
        let is_answered = self.is_unknown() || matches!(self.state, AttemptState::Refused { .. });
        let state = match said {
            TradeUpdate::NoAnswer | TradeUpdate::Unpaid => return,
            TradeUpdate::NotFound { date } if self.is_payable() && self.has_lapsed(at, *date) => {
                AttemptState::Closed
            }
            TradeUpdate::NotFound { .. } if is_answered => {
                self.state = AttemptState::NotFound;
                return;
            }
            TradeUpdate::NotFound { .. } => return,
            TradeUpdate::Closed => AttemptState::Closed,
            TradeUpdate::Paid(_) if self.n == n => AttemptState::Paid,
            // The trade is paid, so that nobody pays it by another way.
            TradeUpdate::Paid(_) => AttemptState::Closed,
        };
        if state.precedence() > self.state.precedence() {
            self.state = state;
        }
    }
}
