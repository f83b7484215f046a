//! An order: what is bought, and every attempt to have it paid.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::attempt::{Attempt, AttemptState, Material};
use super::channel::ProviderId;
use super::ids::{OutTradeNo, TransactionId};
use super::money::Fen;
use super::record::Unknown;
use super::refund::{Payment, PaymentRole, Refund, RefundSaid};
use super::request::{Facts, Fingerprint};
use super::time::Millis;

/// An order and everything that is known of its payment.
///
/// It changes only through [`Order::apply`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// What is bought.
    pub facts: Facts,
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
    pub created: Millis,
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

/// Something that happened to one attempt.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// It is about to be sent. It takes the place of the last attempt if that never came to
    /// anything, and every attempt that may still be paid is superseded by it.
    Opened(Box<Attempt>),
    /// The buyer goes back to it while its provider still takes money for it: every other attempt
    /// that may be paid, or may come to be, is superseded instead.
    Offered {
        /// Which attempt.
        n: u32,
    },
    /// Nothing of it left this machine.
    Unsent {
        /// Which attempt.
        n: u32,
    },
    /// The provider, or our own signature, made it payable.
    Answered {
        /// Which attempt.
        n: u32,
        /// What the buyer pays with.
        material: Material,
        /// Until when it is handed out again.
        valid_until: Millis,
    },
    /// The provider refused it.
    Refused {
        /// Which attempt.
        n: u32,
        /// The provider's code.
        code: String,
        /// The provider's message.
        message: String,
    },
    /// The provider refused it because it has another trade under its number.
    Taken {
        /// Which attempt.
        n: u32,
        /// The provider's code.
        code: String,
    },
    /// What became of the call is unknown.
    Lost {
        /// Which attempt.
        n: u32,
        /// What happened, for the operator.
        reason: String,
    },
    /// It is sent again although its provider did not know it: what was said no longer holds.
    Again {
        /// Which attempt.
        n: u32,
    },
    /// Its provider was asked about it, or told to close it.
    Asked {
        /// Which attempt: what is said holds for every attempt with the same trade.
        n: u32,
        /// When.
        at: Millis,
        /// What the provider said.
        said: Said,
    },
    /// The shop wants no payment any more: every attempt that may be paid is superseded.
    Closed,
    /// Money is to go back.
    RefundWanted {
        /// Of which payment.
        transaction_id: TransactionId,
        /// The refund.
        refund: Box<Refund>,
    },
    /// Its provider was told, or asked, of a refund.
    RefundAsked {
        /// Which refund.
        out_refund_no: String,
        /// When.
        at: Millis,
        /// What it said.
        said: RefundSaid,
    },
    /// Money went back that nobody here sent: in the provider's console.
    RefundedElsewhere {
        /// Of which payment.
        transaction_id: TransactionId,
        /// The refund; none when only its existence is known.
        refund: Option<Box<Refund>>,
        /// What went back in all when it was told, where its amount is not: the refund's is what
        /// that is more than what is known.
        all: Option<Fen>,
    },
}

/// What a provider said of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// Nothing that can be believed.
    Nothing,
    /// It has no such trade. While the buyer may hold material that is no end of it: Alipay makes
    /// the trade when the buyer acts.
    Absent,
    /// The trade waits for its buyer.
    Unpaid,
    /// The trade is closed and was never paid.
    Closed,
    /// The trade is paid.
    Paid(Receipt),
}

/// Which payments go back without anybody asking for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Returns {
    /// A second payment of a paid order.
    pub duplicate: bool,
    /// A payment after the order was closed.
    pub late: bool,
}

/// A payment as its provider tells of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Receipt {
    /// The provider's number.
    pub transaction_id: TransactionId,
    /// The order's amount at the provider, in fen.
    pub total_fee: Fen,
    /// When it was paid.
    pub paid_at: Millis,
    /// The payer, if told.
    pub openid: Option<String>,
    /// Whether app, merchant and currency are the order's.
    pub fits: bool,
    /// Whether something of it went back, nobody here knows how much.
    pub refunded: bool,
    /// Whether it goes back when it is a duplicate, or late.
    pub returns: Returns,
    /// The provider's message, as it was verified.
    pub message: Arc<Value>,
}

impl Order {
    /// The order's number.
    #[must_use]
    pub fn out_trade_no(&self) -> &OutTradeNo {
        &self.facts.out_trade_no
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

    /// The attempt number `n`.
    #[must_use]
    pub fn attempt(&self, n: u32) -> Option<&Attempt> {
        self.attempts.iter().find(|it| it.n == n)
    }

    /// Whether a buyer is meant to pay `attempt`, or another one with the same trade.
    #[must_use]
    pub fn is_offered(&self, attempt: &Attempt) -> bool {
        let is_open = self.status == OrderStatus::Open && !self.flags.mismatch;
        let offered = |it: &Attempt| it.is_live() && !it.superseded && it.handed_out;
        is_open && self.attempts.iter().any(|it| it.shares_trade(attempt) && offered(it))
    }

    /// The attempts that may be paid, or of which nothing is known: one for each trade.
    #[must_use]
    pub fn open_trades(&self) -> Vec<u32> {
        self.trades(|it| it.is_live() || it.is_unknown())
    }

    /// The latest of the attempts that are `wanted`, for each trade.
    #[must_use]
    pub fn trades(&self, wanted: impl Fn(&Attempt) -> bool) -> Vec<u32> {
        let mut found: Vec<&Attempt> = Vec::new();
        for attempt in self.attempts.iter().rev().filter(|it| wanted(it)) {
            if !found.iter().any(|it| it.shares_trade(attempt)) {
                found.push(attempt);
            }
        }
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
        let attempts = self.attempts.iter().filter(|it| it.way.provider() == at);
        let payments = self.payments.iter().filter(|it| self.provider_of(it) == Some(at));
        attempts.filter_map(|it| self.due_of(it)).chain(payments.filter_map(Payment::due)).min()
    }

    /// Where a payment was made.
    #[must_use]
    pub fn provider_of(&self, payment: &Payment) -> Option<ProviderId> {
        self.attempt(payment.attempt).map(|it| it.way.provider())
    }

    /// When the provider of `attempt` is to be asked about it without anybody's request: soon when
    /// its outcome is unknown, or when it may still be paid and should not; if it is offered to
    /// the buyer, a minute before it expires, for a payment that nobody told, and when it lapsed.
    #[must_use]
    pub fn due_of(&self, attempt: &Attempt) -> Option<Millis> {
        if !attempt.is_live() && !attempt.is_unknown() {
            return None;
        }
        let again = attempt.next_look();
        if !self.is_offered(attempt) {
            return Some(again);
        }
        let is_new = attempt.asked.unwrap_or(attempt.opened) < attempt.ends();
        Some(again.max(if is_new { attempt.ends() } else { attempt.lapses() }))
    }

    /// The order after `event`, one version on; `None` when the event tells nothing new, because
    /// more is known of the attempt already.
    #[must_use]
    pub fn apply(&self, event: Event) -> Option<Order> {
        let mut next = self.clone();
        match event {
            Event::Opened(attempt) => next.open(*attempt)?,
            Event::Offered { n } => next.offer(n)?,
            Event::Unsent { n } => next.learn(n, AttemptState::Unsent)?,
            Event::Answered { n, material, valid_until } => {
                next.answered(n, AttemptState::Live { material, valid_until })?;
            }
            Event::Refused { n, code, message } => {
                next.learn(n, AttemptState::Refused { code, message })?;
            }
            Event::Taken { n, code } => next.learn(n, AttemptState::Taken { code })?,
            Event::Lost { n, reason } => next.learn(n, AttemptState::Ambiguous { reason })?,
            Event::Again { n } => next.again(n)?,
            Event::Asked { n, at, said } => next.asked(n, at, said)?,
            Event::Closed => next.close()?,
            Event::RefundWanted { transaction_id, refund } => {
                next.want_refund(&transaction_id, *refund)?;
            }
            Event::RefundAsked { out_refund_no, at, said } => {
                next.refund_said(&out_refund_no, at, said);
            }
            Event::RefundedElsewhere { transaction_id, refund, all } => {
                next.foreign_refund(&transaction_id, refund.map(|it| *it), all)?;
            }
        }
        next.version = next.version.saturating_add(1);
        Some(next)
    }

    fn open(&mut self, attempt: Attempt) -> Option<()> {
        while self.attempts.last().is_some_and(Attempt::is_void) {
            self.attempts.pop();
        }
        let n = self.attempts.last().map_or(1, |it| it.n.saturating_add(1));
        self.supersede();
        (attempt.n == n).then(|| self.attempts.push(attempt))
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
        for it in self.attempts.iter_mut().filter(|it| it.is_live() || it.is_unknown()) {
            it.superseded = true;
        }
    }

    fn learn(&mut self, n: u32, state: AttemptState) -> Option<()> {
        let attempt = self.attempts.iter_mut().find(|it| it.n == n)?;
        (state.rank() > attempt.state.rank()).then(|| attempt.state = state)
    }

    fn again(&mut self, n: u32) -> Option<()> {
        let attempt = self.attempts.iter_mut().find(|it| it.n == n)?;
        (attempt.state == AttemptState::Absent).then(|| attempt.state = AttemptState::Prepared)
    }

    /// Material for an attempt, or newer material for one that has some.
    fn answered(&mut self, n: u32, live: AttemptState) -> Option<()> {
        let attempt = self.attempts.iter_mut().find(|it| it.n == n)?;
        attempt.handed_out = true;
        (live.rank() >= attempt.state.rank()).then(|| attempt.state = live)
    }

    fn asked(&mut self, n: u32, at: Millis, said: Said) -> Option<()> {
        let asked = self.attempt(n)?.clone();
        for it in self.attempts.iter_mut().filter(|it| it.shares_trade(&asked)) {
            it.asked = Some(at);
            let state = match &said {
                Said::Nothing | Said::Unpaid => continue,
                Said::Absent if it.is_unknown() => AttemptState::Absent,
                Said::Absent if at < it.lapses() => continue,
                Said::Absent | Said::Closed => AttemptState::Closed,
                Said::Paid(_) if it.n == n => AttemptState::Paid,
                // The trade is paid, so that nobody pays it by another way.
                Said::Paid(_) => AttemptState::Closed,
            };
            if state.rank() > it.state.rank() {
                it.state = state;
            }
        }
        if let Said::Paid(receipt) = said {
            self.paid(n, at, receipt);
        }
        Some(())
    }

    /// Takes a payment into account, once.
    fn paid(&mut self, n: u32, at: Millis, receipt: Receipt) {
        if self.payments.iter().any(|it| it.transaction_id == receipt.transaction_id) {
            return;
        }
        let is_paid = self.payment(None).is_some();
        let is_price = receipt.total_fee == self.facts.total_fee;
        let role = match self.status {
            _ if !receipt.fits || !(is_price || is_paid) => PaymentRole::Mismatch,
            OrderStatus::Open => PaymentRole::Winning,
            OrderStatus::Closed => PaymentRole::Late,
            OrderStatus::Paid | OrderStatus::PartRefunded | OrderStatus::Refunded => {
                PaymentRole::Duplicate
            }
        };
        match role {
            PaymentRole::Winning => self.status = OrderStatus::Paid,
            PaymentRole::Duplicate => self.flags.duplicate_paid = true,
            PaymentRole::Late => self.flags.late_paid = true,
            PaymentRole::Mismatch => self.flags.mismatch = true,
        }
        self.payments.push(Payment {
            attempt: n,
            transaction_id: receipt.transaction_id,
            total_fee: receipt.total_fee,
            paid_at: receipt.paid_at,
            openid: receipt.openid,
            known: at,
            role,
            returns: match role {
                PaymentRole::Duplicate => receipt.returns.duplicate,
                PaymentRole::Late => receipt.returns.late,
                PaymentRole::Winning | PaymentRole::Mismatch => false,
            },
            refund_unknown: receipt.refunded,
            refunds: Vec::new(),
        });
        self.restate();
    }
}
