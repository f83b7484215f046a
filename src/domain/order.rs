//! An order: what is bought, and every attempt to have it paid.

use serde::{Deserialize, Serialize};

use super::attempt::{Attempt, AttemptState, Material};
use super::ids::OutTradeNo;
use super::refund::Payment;
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
    /// It is about to be sent. It takes the place of the last attempt if that was never sent.
    Opened(Box<Attempt>),
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
    /// The provider refused it, with its signature.
    Refused {
        /// Which attempt.
        n: u32,
        /// The provider's code.
        code: String,
        /// The provider's message.
        message: String,
    },
    /// What became of the call is unknown.
    Lost {
        /// Which attempt.
        n: u32,
        /// What happened, for the operator.
        reason: String,
    },
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

    /// The order after `event`, one version on; `None` when the event tells nothing new, because
    /// more is known of the attempt already.
    #[must_use]
    pub fn apply(&self, event: Event) -> Option<Order> {
        let mut next = self.clone();
        match event {
            Event::Opened(attempt) => next.open(*attempt)?,
            Event::Unsent { n } => next.learn(n, AttemptState::Unsent)?,
            Event::Answered { n, material, valid_until } => {
                next.learn(n, AttemptState::Live { material, valid_until })?;
            }
            Event::Refused { n, code, message } => {
                next.learn(n, AttemptState::Refused { code, message })?;
            }
            Event::Lost { n, reason } => next.learn(n, AttemptState::Ambiguous { reason })?,
        }
        next.version = next.version.saturating_add(1);
        Some(next)
    }

    fn open(&mut self, attempt: Attempt) -> Option<()> {
        if self.latest().state == AttemptState::Unsent {
            self.attempts.pop();
        }
        let expected = self.attempts.last().map_or(1, |it| it.n.saturating_add(1));
        (attempt.n == expected).then(|| self.attempts.push(attempt))
    }

    fn learn(&mut self, n: u32, state: AttemptState) -> Option<()> {
        let attempt = self.attempts.iter_mut().find(|it| it.n == n)?;
        (state.rank() > attempt.state.rank()).then(|| attempt.state = state)
    }
}
