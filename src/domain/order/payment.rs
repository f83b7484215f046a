//! Payments of an order and what went back of them.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Order, OrderStatus};
use crate::domain::ids::{OutTradeNo, TransactionId};
use crate::domain::money::Fen;
use crate::domain::time::{DAY_MS, HOUR_MS, MINUTE_MS, Millis, SECOND_MS};

/// A wish to return money.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundRequest {
    /// The order.
    pub out_trade_no: OutTradeNo,
    /// The refund's number, unique per merchant; made of the payment when absent.
    pub out_refund_no: Option<String>,
    /// How much, in fen; everything that is left when absent.
    pub refund_fee: Option<Fen>,
    /// Why, for the buyer.
    pub refund_desc: Option<String>,
    /// Which payment of the order; the one that made it paid when absent.
    pub transaction_id: Option<TransactionId>,
}

/// Money that a provider took for one attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Payment {
    /// The attempt it was paid by.
    pub attempt: u32,
    /// The provider's number: refunds name it.
    pub transaction_id: TransactionId,
    /// What the order was paid with, in fen.
    pub total_fee: Fen,
    /// When the provider took it.
    pub paid_at: Millis,
    /// The payer at the provider, if told.
    pub openid: Option<String>,
    /// When it became known here.
    pub discovered_at: Millis,
    /// What it is to the order.
    pub role: PaymentRole,
    /// Whether it goes back without anybody asking for it.
    pub auto_refund: bool,
    /// Whether something of it went back that nobody here knows the amount of: a refund made in
    /// the provider's console.
    pub refund_unknown: bool,
    /// The most that its provider ever said went back of it in all (Alipay, `refund_fee`).
    #[serde(default)]
    pub reported_refund_total: Option<Fen>,
    /// Since when that is more than every refund that is known here: the notification of the
    /// missing one may be on its way.
    #[serde(default)]
    pub unidentified_since: Option<Millis>,
    /// What went back of it, pending ones included.
    pub refunds: Vec<Refund>,
}

/// What a payment is to its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentRole {
    /// The one that made the order paid.
    Winning,
    /// A later one.
    Duplicate,
    /// One that came after `closePayment`.
    Late,
    /// One of another amount, app or merchant.
    Mismatch,
}

/// Money on its way back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refund {
    /// The shop's number, unique per merchant.
    pub out_refund_no: String,
    /// The provider's number.
    pub refund_id: Option<String>,
    /// In fen.
    pub refund_fee: Fen,
    /// Why, for the buyer.
    pub refund_desc: Option<String>,
    /// Where it stands.
    pub state: RefundState,
    /// What of it the buyer gets in cash, in fen, if told.
    pub cash_refund_fee: Option<Fen>,
    /// When it was asked for.
    pub requested_at: Millis,
    /// When its provider was last told, or asked, of it.
    pub last_queried_at: Option<Millis>,
    /// When the buyer got it, if told.
    pub refunded_at: Option<Millis>,
    /// Whether nobody asked for it: it is sent again until it is done.
    pub automatic: bool,
    /// Where its provider reports it.
    #[serde(default)]
    pub notify_url: Option<String>,
    /// How often it may have been sent: counted before it leaves.
    #[serde(default)]
    pub times_sent: u32,
    /// How many of these its provider answered for good, or did not get.
    #[serde(default)]
    pub times_answered: u32,
    /// When its provider refused one sending of it while another had no answer: that one may
    /// still arrive.
    #[serde(default)]
    pub refused_at: Option<Millis>,
}

/// Money that went back without paygate's doing, as far as its provider tells of it.
#[derive(Clone, Debug, PartialEq)]
pub struct ExternalRefund {
    /// The refund.
    pub refund: Refund,
    /// Whether the amount is not told: then it is what went back in all less what is known.
    pub is_rest: bool,
}

/// Where a refund stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RefundState {
    /// Recorded; being sent, or at the provider.
    Processing,
    /// The buyer has it.
    Success,
    /// It needs a person (WeChat Pay `ABNORMAL`).
    Abnormal,
    /// It failed for good.
    Closed,
}

/// What a provider said of a refund.
#[derive(Clone, Debug, PartialEq)]
pub enum RefundUpdate {
    /// Nothing that can be believed.
    NoAnswer,
    /// It did not get what was sent, or did nothing yet and asks for it later.
    NotDone,
    /// It knows of no refund under this number.
    NotFound,
    /// It refused what was sent, for good.
    Refused,
    /// Where it stands.
    Status(RefundStatus),
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

/// How soon a pending refund is looked at again, and how often at least.
const LOOK_MIN_MS: i64 = 5 * SECOND_MS;

/// How long a refund that only a total tells of may take to be told by itself.
const UNSEEN_MS: i64 = 2 * MINUTE_MS;

/// How long after a refusal it is asked once more whether an earlier sending arrived.
const LATE_MS: i64 = 5 * MINUTE_MS;

impl Payment {
    /// What is left of it, in fen: refunds that are pending count, and what went back unseen.
    #[must_use]
    pub fn left(&self) -> u64 {
        let in_all = self.reported_refund_total.map_or(0, Fen::fen);
        self.total_fee.fen().saturating_sub(self.bound().max(in_all))
    }

    /// What its refunds took of it, or may take, in fen.
    fn bound(&self) -> u64 {
        let open = self.refunds.iter().filter(|it| it.state != RefundState::Closed);
        open.fold(0_u64, |sum, it| sum.saturating_add(it.refund_fee.fen()))
    }

    /// What the buyer got back, in fen.
    #[must_use]
    pub fn returned(&self) -> u64 {
        let done = self.refunds.iter().filter(|it| it.state == RefundState::Success);
        done.fold(0_u64, |sum, it| sum.saturating_add(it.refund_fee.fen()))
    }

    /// When what is left of it is to be sent back without anybody asking for it, if ever: at once,
    /// an hour after that was refused, and later and later where its provider gave it up.
    #[must_use]
    pub fn auto_refund_due(&self) -> Option<Millis> {
        if !self.auto_refund || self.has_unknown_refund() || self.left() == 0 {
            return None;
        }
        let unasked = self.refunds.iter().filter(|it| it.automatic);
        let looked = unasked.filter_map(|it| it.last_queried_at).max();
        let spent = self.refunds.iter().filter(|it| it.is_terminal_at_provider()).count();
        let hours = i64::try_from(spent).unwrap_or(i64::MAX).clamp(1, 24);
        Some(looked.map_or(self.discovered_at, |it| it.plus(HOUR_MS.saturating_mul(hours))))
    }

    /// The refunds of it that something may be to be done about. While nobody knows what else went
    /// back of it, nothing goes back that the shop did not ask for.
    pub fn pending_refunds(&self) -> impl Iterator<Item = &Refund> {
        let is_unknown = self.has_unknown_refund();
        self.refunds.iter().filter(move |it| !(it.automatic && is_unknown))
    }

    /// Whether something of it went back that nobody here knows of: its existence was told, or
    /// more went back in all than by every refund that is known. It is never forgotten, whatever
    /// becomes of the refunds that are pending.
    #[must_use]
    pub fn has_unknown_refund(&self) -> bool {
        self.refund_unknown || self.has_unidentified_refund()
    }

    fn has_unidentified_refund(&self) -> bool {
        self.reported_refund_total.is_some_and(|it| it.fen() > self.bound())
    }

    /// When the shop is to be told that something went back unseen, if ever: the notification of
    /// a refund in the console has two minutes to come first.
    #[must_use]
    pub fn unidentified_due(&self) -> Option<Millis> {
        let is_untold = self.has_unidentified_refund() && !self.refund_unknown;
        is_untold.then(|| self.unidentified_since.unwrap_or(self.discovered_at).plus(UNSEEN_MS))
    }

    /// Takes into account what its provider says now went back of it in all.
    fn record_refund_total(&mut self, all: Option<Fen>, at: Millis) {
        self.reported_refund_total = self.reported_refund_total.max(all);
        let is_complete = self.returned() >= self.total_fee.fen();
        if is_complete || all.is_some_and(|it| it.fen() == self.returned()) {
            self.refund_unknown = false;
        }
        match self.has_unidentified_refund() {
            true => self.unidentified_since = self.unidentified_since.or(Some(at)),
            false => self.unidentified_since = None,
        }
    }

    /// Adds what a person returned in the provider's console.
    fn add_external(&mut self, external: ExternalRefund, all: Option<Fen>) {
        let ExternalRefund { refund, is_rest } = external;
        let rest = |all: Fen| Fen::positive(all.fen().saturating_sub(self.returned()));
        let refund_fee = if is_rest { all.and_then(rest) } else { Some(refund.refund_fee) };
        if let Some(refund_fee) = refund_fee {
            self.refunds.push(Refund { refund_fee, ..refund });
        }
    }

    /// When something is to be done about its refunds, if ever.
    pub(in crate::domain) fn due(&self) -> Option<Millis> {
        let due = self.auto_refund_due().into_iter().chain(self.unidentified_due());
        due.chain(self.pending_refunds().filter_map(Refund::due)).min()
    }

    /// The number under which everything that is left of it goes back, when nobody gave one: the
    /// same for the same payment of the same order, until its provider gave up a refund under it,
    /// or refused one of another amount.
    #[must_use]
    pub fn derived_refund_no(&self, out_trade_no: &OutTradeNo) -> String {
        let is_other =
            |it: &Refund| it.state == RefundState::Closed && it.refund_fee.fen() != self.left();
        let is_terminal_at_provider = |number: &str| {
            let mut named = self.refunds.iter().filter(|it| it.out_refund_no == number);
            named.any(|it| it.is_terminal_at_provider() || is_other(it))
        };
        (0..u32::MAX)
            .map(|nth| derived_refund_no(out_trade_no, &self.transaction_id, nth))
            .find(|number| !is_terminal_at_provider(number))
            .unwrap_or_default() // Refunds are fewer than numbers.
    }

    /// The number under which what is left of it goes back without anybody asking for it: one that
    /// no refund has, or only one of this amount that was refused.
    #[must_use]
    pub fn automatic_refund_no(&self, out_trade_no: &OutTradeNo) -> String {
        let is_again = |it: &Refund| {
            let is_refused = it.state == RefundState::Closed && !it.is_terminal_at_provider();
            is_refused && it.refund_fee.fen() == self.left()
        };
        let is_free = |number: &str| {
            let mut named = self.refunds.iter().filter(|it| it.out_refund_no == number);
            named.all(is_again)
        };
        (0..u32::MAX)
            .map(|nth| derived_refund_no(out_trade_no, &self.transaction_id, nth))
            .find(|number| is_free(number))
            .unwrap_or_default() // Refunds are fewer than numbers.
    }
}

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

    /// When its provider is to be told, or asked, of it again, if ever.
    #[must_use]
    pub fn due(&self) -> Option<Millis> {
        let Some(looked) = self.last_queried_at else {
            return (self.state == RefundState::Processing).then_some(self.requested_at);
        };
        let age_ms = looked.since(self.requested_at);
        match self.state {
            RefundState::Processing => {
                Some(looked.plus(age_ms.wrapping_div(4).clamp(LOOK_MIN_MS, HOUR_MS)))
            }
            RefundState::Abnormal => Some(looked.plus(HOUR_MS)),
            // Its provider may have taken an earlier sending of it after it refused a later one
            // (refunds of earlier versions, which did not count their sendings).
            RefundState::Closed if self.may_still_succeed() && age_ms < DAY_MS => {
                let is_first = age_ms < LATE_MS;
                Some(looked.plus(if is_first { LATE_MS } else { HOUR_MS }))
            }
            RefundState::Closed | RefundState::Success => None,
        }
    }

    /// Whether it was refused, and nobody sends it again.
    fn may_still_succeed(&self) -> bool {
        !self.is_terminal_at_provider() && !self.automatic
    }

    /// Whether it may have been sent before: then its provider is asked before it is sent again. An
    /// earlier version, which stored no address with it, did not count.
    #[must_use]
    pub fn may_be_sent(&self) -> bool {
        self.times_sent > 0 || self.last_queried_at.is_some() || self.notify_url.is_none()
    }

    /// Records that it is about to be sent.
    fn count_sending(&mut self) {
        let uncounted = u32::from(self.times_sent == 0 && self.may_be_sent());
        self.times_sent = self.times_sent.saturating_add(uncounted).saturating_add(1);
    }

    /// Takes a refusal into account: it frees the amount only when it answers the only sending
    /// that has no answer yet.
    fn refuse(&mut self, at: Millis) {
        self.times_answered = self.times_answered.saturating_add(1).min(self.times_sent);
        if self.state != RefundState::Processing {
            return;
        }
        if self.times_answered >= self.times_sent {
            self.state = RefundState::Closed;
        } else {
            self.refused_at.get_or_insert(at);
        }
    }

    /// Takes into account that its provider knows no such refund: one that it refused is over when
    /// an earlier sending did not arrive for a day.
    fn miss(&mut self, at: Millis) {
        let is_over = self.refused_at.is_some_and(|refused| at.since(refused) >= DAY_MS);
        if is_over && self.state == RefundState::Processing {
            self.times_answered = self.times_sent;
            self.state = RefundState::Closed;
        }
    }

    /// Whether its provider took it and gave it up: nothing goes back under its number any more
    /// (WeChat Pay V3, "refund request": what is `CLOSED` is asked for anew under a new number).
    fn is_terminal_at_provider(&self) -> bool {
        self.state == RefundState::Closed && self.refund_id.is_some()
    }
}

fn derived_refund_no(out_trade_no: &OutTradeNo, id: &TransactionId, nth: u32) -> String {
    let mut hash = Sha256::new()
        .chain_update(out_trade_no.as_str())
        .chain_update([0])
        .chain_update(id.0.as_bytes());
    if nth > 0 {
        hash = hash.chain_update([0]).chain_update(nth.to_be_bytes());
    }
    let hash = hash.finalize();
    let hex: String = hash.iter().take(15).map(|byte| format!("{byte:02x}")).collect();
    format!("pgr{hex}")
}

impl Order {
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

    /// Records that a refund is wanted, or is to be sent once more after it was refused.
    pub(in crate::domain) fn request_refund(
        &mut self,
        id: &TransactionId,
        refund: Refund,
    ) -> Option<()> {
        if self.refund(&refund.out_refund_no).is_some_and(|(it, _)| it.transaction_id != *id) {
            return None;
        }
        let payment = self.payments.iter_mut().find(|it| it.transaction_id == *id)?;
        if payment.left() < refund.refund_fee.fen() {
            return None;
        }
        let known = payment.refunds.iter_mut().find(|it| it.out_refund_no == refund.out_refund_no);
        match known {
            Some(known) if known.state == RefundState::Closed => *known = refund,
            Some(_) => return None,
            None => payment.refunds.push(refund),
        }
        Some(())
    }

    /// Records that a refund is about to be sent. [`None`] when it is not pending.
    pub(in crate::domain) fn refund_sending(&mut self, out_refund_no: &str) -> Option<()> {
        let mut refunds = self.payments.iter_mut().flat_map(|it| &mut it.refunds);
        let refund = refunds.find(|it| it.out_refund_no == out_refund_no)?;
        (refund.state == RefundState::Processing).then(|| refund.count_sending())
    }

    /// Takes into account what a provider said of a refund: what ended stays ended, except that
    /// money which went back went back.
    pub(in crate::domain) fn record_refund_update(
        &mut self,
        out_refund_no: &str,
        at: Millis,
        said: RefundUpdate,
    ) {
        let named = |it: &Refund| it.out_refund_no == out_refund_no;
        let Some(payment) = self.payments.iter_mut().find(|it| it.refunds.iter().any(named)) else {
            return;
        };
        let Some(refund) = payment.refunds.iter_mut().find(|it| named(it)) else { return };
        refund.last_queried_at = Some(at);
        match said {
            RefundUpdate::NoAnswer => {}
            RefundUpdate::NotDone => {
                refund.times_answered =
                    refund.times_answered.saturating_add(1).min(refund.times_sent);
            }
            RefundUpdate::NotFound => refund.miss(at),
            RefundUpdate::Refused => refund.refuse(at),
            RefundUpdate::Status(told) => {
                if told.state.precedence() > refund.state.precedence() {
                    refund.state = told.state;
                }
                refund.refund_id = told.refund_id.or_else(|| refund.refund_id.take());
                refund.cash_refund_fee = told.cash_refund_fee.or(refund.cash_refund_fee);
                refund.refunded_at = told.refunded_at.or(refund.refunded_at);
                payment.record_refund_total(told.refunded_total, at);
            }
        }
        self.recompute_status();
    }

    /// A refund that was made in the provider's console, or whose record was lost, and what went
    /// back in all. [`None`] when nothing of it is new.
    pub(in crate::domain) fn external_refund(
        &mut self,
        id: &TransactionId,
        external: Option<ExternalRefund>,
        (all, at): (Option<Fen>, Millis),
    ) -> Option<()> {
        let known = external.as_ref().map(|it| it.refund.out_refund_no.clone());
        let is_known = known.is_some_and(|it| self.refund(&it).is_some());
        let payment = self.payments.iter_mut().find(|it| it.transaction_id == *id)?;
        let before = payment.clone();
        match external {
            Some(_) if is_known => {}
            Some(external) => payment.add_external(external, all),
            None => payment.refund_unknown = true,
        }
        payment.record_refund_total(all, at);
        let is_new = *payment != before;
        self.recompute_status();
        is_new.then_some(())
    }

    /// The order's status and flags after something went back.
    pub(in crate::domain) fn recompute_status(&mut self) {
        let unreturned =
            |it: &Payment| it.role == PaymentRole::Mismatch && it.returned() < it.total_fee.fen();
        self.flags.mismatch = self.payments.iter().any(unreturned);
        let Some(winning) = self.payment(None) else { return };
        let (returned, total) = (winning.returned(), winning.total_fee.fen());
        self.status = match returned {
            _ if returned >= total => OrderStatus::Refunded,
            0 if !winning.has_unknown_refund() => self.status,
            _ => OrderStatus::PartRefunded,
        };
    }
}

impl RefundState {
    /// The order of knowledge: a late answer of a lower rank changes nothing.
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
