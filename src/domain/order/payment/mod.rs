//! A payment of an order, and how much of it is refunded.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::refund::{ExternalRefund, Refund, RefundState};
use crate::domain::ids::{OutTradeNo, TransactionId};
use crate::domain::money::Fen;
use crate::domain::time::{HOUR_MS, MINUTE_MS, Millis};

/// Money that a provider received for one attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Payment {
    /// The number of the attempt that the buyer paid.
    #[serde(rename = "attempt_no")]
    pub attempt: u32,
    /// The provider's number: refunds name it.
    pub transaction_id: TransactionId,
    /// The order's amount at the provider, in fen.
    pub total_fee: Fen,
    /// When the buyer paid.
    pub paid_at: Millis,
    /// The payer at the provider, if the provider reports it.
    pub openid: Option<String>,
    /// When paygate learned of it.
    pub discovered_at: Millis,
    /// What it is to the order.
    pub role: PaymentRole,
    /// Whether paygate refunds it without a request.
    pub auto_refund: bool,
    /// Whether its provider reports a refund whose amount nobody here knows, such as one made in
    /// the provider's console.
    pub refund_unknown: bool,
    /// The highest total of its refunds that its provider ever reported, in fen (Alipay,
    /// `refund_fee`).
    #[serde(default)]
    pub reported_refund_total: Option<Fen>,
    /// Since when that total exceeds the refunds known here: the notification of the missing one
    /// may be on its way.
    #[serde(default)]
    pub unidentified_since: Option<Millis>,
    /// Its refunds, pending ones included.
    pub refunds: Vec<Refund>,
}

/// What a payment is to its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentRole {
    /// The one that made the order paid.
    Winning,
    /// One of an order that was paid before.
    Duplicate,
    /// One that came after `closePayment`.
    Late,
    /// One of another amount, app or merchant.
    Mismatch,
}

impl PaymentRole {
    /// The name in records, columns and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            PaymentRole::Winning => "winning",
            PaymentRole::Duplicate => "duplicate",
            PaymentRole::Late => "late",
            PaymentRole::Mismatch => "mismatch",
        }
    }
}

/// How long the provider may take to notify of a refund that only a total reports.
const UNIDENTIFIED_MS: i64 = 2 * MINUTE_MS;

impl Payment {
    /// How much of it can still be refunded, in fen: pending and unidentified refunds are taken
    /// off.
    #[must_use]
    pub fn refundable(&self) -> u64 {
        let reported = self.reported_refund_total.map_or(0, Fen::fen);
        self.total_fee.fen().saturating_sub(self.refunded_or_pending().max(reported))
    }

    /// How much its known refunds returned, or may return, in fen.
    fn refunded_or_pending(&self) -> u64 {
        let open = self.refunds.iter().filter(|refund| refund.state != RefundState::Closed);
        open.fold(0_u64, |sum, refund| sum.saturating_add(refund.refund_fee.fen()))
    }

    /// How much the buyer got back, in fen.
    #[must_use]
    pub fn refunded(&self) -> u64 {
        let done = self.refunds.iter().filter(|refund| refund.state == RefundState::Success);
        done.fold(0_u64, |sum, refund| sum.saturating_add(refund.refund_fee.fen()))
    }

    /// When paygate refunds the rest of it without a request, if ever: at once, an hour after the
    /// provider refused that, and up to a day later each time the provider gave a refund up.
    #[must_use]
    pub fn auto_refund_due(&self) -> Option<Millis> {
        if !self.auto_refund || self.has_unknown_refund() || self.refundable() == 0 {
            return None;
        }
        let automatic = self.refunds.iter().filter(|refund| refund.automatic);
        let queried_at = automatic.filter_map(|refund| refund.last_queried_at).max();
        let given_up = self.refunds.iter().filter(|refund| refund.is_terminal_at_provider());
        let hours = i64::try_from(given_up.count()).unwrap_or(i64::MAX).clamp(1, 24);
        let again = |queried_at: Millis| queried_at.plus(HOUR_MS.saturating_mul(hours));
        Some(queried_at.map_or(self.discovered_at, again))
    }

    /// The refunds of it that paygate sends or queries. While an unknown refund exists, paygate
    /// sends none that the shop did not request.
    pub fn active_refunds(&self) -> impl Iterator<Item = &Refund> {
        let is_unknown = self.has_unknown_refund();
        self.refunds.iter().filter(move |refund| !(refund.automatic && is_unknown))
    }

    /// Whether its provider reports a refund that is not known here: without an amount, or by a
    /// total above all known refunds. That stays so whatever becomes of the pending refunds.
    #[must_use]
    pub fn has_unknown_refund(&self) -> bool {
        self.refund_unknown || self.has_unidentified_refund()
    }

    fn has_unidentified_refund(&self) -> bool {
        self.reported_refund_total.is_some_and(|total| total.fen() > self.refunded_or_pending())
    }

    /// When paygate reports an unidentified refund to the shop, if ever: the notification of a
    /// refund in the console has two minutes to come first.
    #[must_use]
    pub fn unidentified_due(&self) -> Option<Millis> {
        let is_unreported = self.has_unidentified_refund() && !self.refund_unknown;
        let since = self.unidentified_since.unwrap_or(self.discovered_at);
        is_unreported.then(|| since.plus(UNIDENTIFIED_MS))
    }

    /// Records the total of its refunds that its provider reports now, in fen.
    pub(super) fn record_refund_total(&mut self, total: Option<Fen>, at: Millis) {
        self.reported_refund_total = self.reported_refund_total.max(total);
        let is_complete = self.refunded() >= self.total_fee.fen();
        if is_complete || total.is_some_and(|total| total.fen() == self.refunded()) {
            self.refund_unknown = false;
        }
        match self.has_unidentified_refund() {
            true => self.unidentified_since = self.unidentified_since.or(Some(at)),
            false => self.unidentified_since = None,
        }
    }

    /// Adds a refund that paygate did not send.
    pub(super) fn add_external_refund(&mut self, external: ExternalRefund) {
        let (refund, refund_fee) = match external {
            ExternalRefund::Known { refund, .. } => {
                let refund_fee = refund.refund_fee;
                (refund, Some(refund_fee))
            }
            ExternalRefund::RunningTotal { refund, total } => {
                (refund, Fen::positive(total.fen().saturating_sub(self.refunded())))
            }
            ExternalRefund::UnknownAmount => {
                self.refund_unknown = true;
                return;
            }
        };
        if let Some(refund_fee) = refund_fee {
            self.refunds.push(Refund { refund_fee, ..refund });
        }
    }

    /// When paygate must act on its refunds, if ever.
    pub(super) fn due(&self) -> Option<Millis> {
        let due = self.auto_refund_due().into_iter().chain(self.unidentified_due());
        due.chain(self.active_refunds().filter_map(Refund::due)).min()
    }

    /// The number of the refund of everything that is left, where the shop gives none: the same
    /// for the same payment of the same order, until its provider gave up a refund under it, or
    /// refused one of another amount.
    #[must_use]
    pub fn derived_refund_no(&self, out_trade_no: &OutTradeNo) -> String {
        let is_used_up = |refund: &Refund| {
            let is_other = refund.refund_fee.fen() != self.refundable();
            refund.is_terminal_at_provider() || (refund.state == RefundState::Closed && is_other)
        };
        self.first_number(out_trade_no, |refund| !is_used_up(refund))
    }

    /// The number of the refund that paygate requests by itself: one that no refund has, or only a
    /// refused one of this amount.
    #[must_use]
    pub fn automatic_refund_no(&self, out_trade_no: &OutTradeNo) -> String {
        self.first_number(out_trade_no, |refund| {
            let is_refused =
                refund.state == RefundState::Closed && !refund.is_terminal_at_provider();
            is_refused && refund.refund_fee.fen() == self.refundable()
        })
    }

    /// The first derived number under which every refund `may_share` it.
    fn first_number(
        &self,
        out_trade_no: &OutTradeNo,
        may_share: impl Fn(&Refund) -> bool,
    ) -> String {
        let is_free = |number: &String| {
            let mut named = self.refunds.iter().filter(|refund| refund.out_refund_no == *number);
            named.all(&may_share)
        };
        (0..u32::MAX)
            .map(|nth| derived_refund_no(out_trade_no, &self.transaction_id, nth))
            .find(is_free)
            .unwrap_or_default() // Refunds are fewer than numbers.
    }
}

/// Whether paygate derives refund numbers of this form: the shop's own would stand in their way.
#[must_use]
pub(crate) fn is_derived_refund_no(number: &str) -> bool {
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    number.strip_prefix("pgr").is_some_and(|hex| hex.len() == 30 && hex.bytes().all(is_hex))
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
