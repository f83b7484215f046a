//! A refund: what the shop asked for, what was sent, and what its provider reports of it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::ids::{OutTradeNo, TransactionId};
use crate::domain::money::Fen;
use crate::domain::time::{DAY_MS, HOUR_MS, MINUTE_MS, Millis, SECOND_MS};
use crate::domain::variant_names::variant_names;

/// The shop's request to refund a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundRequest {
    /// The order.
    pub out_trade_no: OutTradeNo,
    /// The refund's number, unique for each merchant; derived from the payment when absent.
    pub out_refund_no: Option<String>,
    /// How much, in fen; everything that can still be refunded when absent.
    pub refund_fee: Option<Fen>,
    /// The reason that the buyer reads.
    pub refund_desc: Option<String>,
    /// Which payment of the order; the one that made it paid when absent.
    pub transaction_id: Option<TransactionId>,
}

/// A refund of a payment: pending, done or failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refund {
    /// The shop's number, unique for each merchant.
    pub out_refund_no: String,
    /// The provider's number.
    pub refund_id: Option<String>,
    /// The amount, in fen.
    pub refund_fee: Fen,
    /// The reason that the buyer reads.
    pub refund_desc: Option<String>,
    /// Where it stands.
    pub state: RefundState,
    /// How much of it the buyer gets in cash, in fen, if the provider reports it.
    pub cash_refund_fee: Option<Fen>,
    /// When the shop, or paygate itself, requested it.
    pub requested_at: Millis,
    /// When it was last sent to its provider, or queried there.
    pub last_queried_at: Option<Millis>,
    /// When the buyer got it, if the provider reports it.
    pub refunded_at: Option<Millis>,
    /// Whether paygate requested it, and so sends it again until it is done.
    pub automatic: bool,
    /// Where its provider reports it.
    #[serde(default)]
    pub notify_url: Option<String>,
    /// How often it may have been sent: counted before each sending.
    #[serde(default)]
    pub times_sent: u32,
    /// How many of these sendings its provider answered for good, or never received.
    #[serde(default)]
    pub times_answered: u32,
    /// When its provider refused one sending while another had no answer yet: that other one may
    /// still succeed.
    #[serde(default)]
    pub refused_at: Option<Millis>,
}

/// A refund that paygate did not send, such as one made in the provider's console.
#[derive(Clone, Debug, PartialEq)]
pub enum ExternalRefund {
    /// The provider reports its amount.
    Known {
        /// The refund.
        refund: Refund,
        /// How much all refunds of the payment returned, in fen, if the provider reports it.
        total: Option<Fen>,
    },
    /// The provider reports only how much all refunds of the payment returned: the amount is what
    /// that total exceeds the known refunds by.
    RunningTotal {
        /// The refund, without an amount of its own.
        refund: Refund,
        /// How much all refunds of the payment returned, in fen.
        total: Fen,
    },
    /// The provider reports that there is one, and no amount.
    UnknownAmount,
}

impl ExternalRefund {
    /// The refund, where the provider identifies it.
    #[must_use]
    pub fn refund(&self) -> Option<&Refund> {
        match self {
            ExternalRefund::Known { refund, .. } | ExternalRefund::RunningTotal { refund, .. } => {
                Some(refund)
            }
            ExternalRefund::UnknownAmount => None,
        }
    }

    /// How much all refunds of the payment returned, in fen, where the provider reports it.
    #[must_use]
    pub fn total(&self) -> Option<Fen> {
        match self {
            ExternalRefund::Known { total, .. } => *total,
            ExternalRefund::RunningTotal { total, .. } => Some(*total),
            ExternalRefund::UnknownAmount => None,
        }
    }
}

variant_names! {
    ExternalRefund {
        ExternalRefund::Known { .. } => "external_refund",
        ExternalRefund::RunningTotal { .. } => "external_refund_total",
        ExternalRefund::UnknownAmount => "external_refund_unknown",
    }
}

/// Where a refund stands, by the provider's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RefundState {
    /// Recorded; about to be sent, or at the provider.
    Processing,
    /// The buyer has it.
    Success,
    /// An operator must act at the provider (WeChat Pay `ABNORMAL`).
    Abnormal,
    /// It failed for good.
    Closed,
}

/// What a provider reports of a refund.
#[derive(Clone, Debug, PartialEq)]
pub enum RefundUpdate {
    /// Nothing that can be believed.
    NoAnswer,
    /// It never received the sending, or postponed it and expects it again.
    NotDone,
    /// It has no refund under this number.
    NotFound,
    /// It refused the sending for good.
    Refused,
    /// Where the refund stands.
    Status(RefundStatus),
}

variant_names! {
    RefundUpdate {
        RefundUpdate::NoAnswer => "refund_no_answer",
        RefundUpdate::NotDone => "refund_not_done",
        RefundUpdate::NotFound => "refund_not_found",
        RefundUpdate::Refused => "refund_refused",
        RefundUpdate::Status(RefundStatus { state: RefundState::Processing, .. })
            => "refund_processing",
        RefundUpdate::Status(RefundStatus { state: RefundState::Success, .. }) => "refund_success",
        RefundUpdate::Status(RefundStatus { state: RefundState::Abnormal, .. })
            => "refund_abnormal",
        RefundUpdate::Status(RefundStatus { state: RefundState::Closed, .. }) => "refund_closed",
    }
}

/// A refund as its provider reports it. The provider's codec compared the payment and the refund's
/// number; nobody compared the amount yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundStatus {
    /// The provider's number of the refund (WeChat Pay).
    pub refund_id: Option<String>,
    /// Where it stands.
    pub state: RefundState,
    /// How much this refund returns, in fen; [`None`] where a notification reports the payment's
    /// total only. It differs from the refund's own amount where the provider has a refund of
    /// another sender under this number.
    pub refund_fee: Option<Fen>,
    /// How much all refunds of the payment returned so far, in fen: this one and those made in
    /// the provider's console included. [`None`] where the answer does not say so: at WeChat Pay,
    /// and in every answer to a query.
    pub refunded_total: Option<Fen>,
    /// How much of `refund_fee` is cash and no coupon, in fen, if the provider reports it: what
    /// the buyer gets (WeChat Pay `payer_refund`), what the merchant gives (Alipay
    /// `send_back_fee`).
    pub cash_refund_fee: Option<Fen>,
    /// When the buyer got it, if the provider reports it.
    pub refunded_at: Option<Millis>,
    /// The provider's message, after its signature was verified.
    pub message: Arc<Value>,
}

/// How soon a pending refund is queried again at the earliest.
const QUERY_MIN_MS: i64 = 5 * SECOND_MS;

/// How long after a refusal its provider is queried once more for an earlier sending.
const LATE_MS: i64 = 5 * MINUTE_MS;

impl Refund {
    /// A refund that is to be sent.
    #[must_use]
    pub fn pending(out_refund_no: String, refund_fee: Fen, requested_at: Millis) -> Refund {
        Refund {
            out_refund_no,
            refund_id: None,
            refund_fee,
            refund_desc: None,
            state: RefundState::Processing,
            cash_refund_fee: None,
            requested_at,
            last_queried_at: None,
            refunded_at: None,
            automatic: false,
            notify_url: None,
            times_sent: 0,
            times_answered: 0,
            refused_at: None,
        }
    }

    /// A refused refund that is to be sent once more under its number. Its sendings stay counted:
    /// its provider is queried before.
    #[must_use]
    pub(crate) fn requested_again(self, requested_at: Millis) -> Refund {
        let state = RefundState::Processing;
        Refund { state, requested_at, refused_at: None, ..self }
    }

    /// When it is to be sent to its provider, or queried there, again, if ever.
    #[must_use]
    pub fn due(&self) -> Option<Millis> {
        let Some(queried_at) = self.last_queried_at else {
            return (self.state == RefundState::Processing).then_some(self.requested_at);
        };
        let age_ms = queried_at.since(self.requested_at);
        match self.state {
            RefundState::Processing => {
                Some(queried_at.plus(age_ms.wrapping_div(4).clamp(QUERY_MIN_MS, HOUR_MS)))
            }
            RefundState::Abnormal => Some(queried_at.plus(HOUR_MS)),
            // Its provider may have accepted an earlier sending after it refused a later one
            // (refunds of earlier versions, which did not count their sendings).
            RefundState::Closed if self.may_still_succeed() && age_ms < DAY_MS => {
                let is_first = age_ms < LATE_MS;
                Some(queried_at.plus(if is_first { LATE_MS } else { HOUR_MS }))
            }
            RefundState::Closed | RefundState::Success => None,
        }
    }

    /// Whether an earlier sending may still succeed although the refund is closed: the provider
    /// never accepted it, and paygate does not send it again by itself.
    fn may_still_succeed(&self) -> bool {
        !self.is_terminal_at_provider() && !self.automatic
    }

    /// Whether it may have been sent before: then its provider is queried before it is sent again.
    /// An earlier version, which stored no `notify_url` with it, did not count sendings.
    #[must_use]
    pub fn may_have_been_sent(&self) -> bool {
        self.times_sent > 0 || self.last_queried_at.is_some() || self.notify_url.is_none()
    }

    /// Records that it is about to be sent.
    pub(super) fn count_sending(&mut self) {
        let uncounted = u32::from(self.times_sent == 0 && self.may_have_been_sent());
        self.times_sent = self.times_sent.saturating_add(uncounted).saturating_add(1);
    }

    /// Records that one sending has its final answer.
    pub(super) fn count_answer(&mut self) {
        self.times_answered = self.times_answered.saturating_add(1).min(self.times_sent);
    }

    /// Records a refusal: it closes the refund only when it answers the only sending that has no
    /// answer yet.
    pub(super) fn record_refusal(&mut self, at: Millis) {
        self.count_answer();
        if self.state != RefundState::Processing {
            return;
        }
        if self.times_answered >= self.times_sent {
            self.state = RefundState::Closed;
        } else {
            self.refused_at.get_or_insert(at);
        }
    }

    /// Records that its provider has no such refund: a refused one is closed when no earlier
    /// sending appeared there for a day.
    pub(super) fn record_not_found(&mut self, at: Millis) {
        let is_over = self.refused_at.is_some_and(|refused_at| at.since(refused_at) >= DAY_MS);
        if is_over && self.state == RefundState::Processing {
            self.times_answered = self.times_sent;
            self.state = RefundState::Closed;
        }
    }

    /// Whether its provider accepted it and closed it: the provider refunds nothing under its
    /// number any more (WeChat Pay V3, "refund request": after `CLOSED`, request it under a new
    /// number).
    pub(super) fn is_terminal_at_provider(&self) -> bool {
        self.state == RefundState::Closed && self.refund_id.is_some()
    }
}

impl RefundState {
    /// The rank of the state: a late answer of a lower rank changes nothing.
    #[must_use]
    pub fn precedence(self) -> u8 {
        match self {
            RefundState::Processing => 0,
            RefundState::Abnormal => 1,
            RefundState::Closed => 2,
            RefundState::Success => 3,
        }
    }

    /// The provider's word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            RefundState::Processing => "PROCESSING",
            RefundState::Success => "SUCCESS",
            RefundState::Abnormal => "ABNORMAL",
            RefundState::Closed => "CLOSED",
        }
    }
}
