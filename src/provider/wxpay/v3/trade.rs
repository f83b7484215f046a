//! Asking about an order, and closing it.

use std::sync::Arc;

use http::StatusCode;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{Refusal, Reply, unknown};
use super::order::Parties;
use super::sign::Outgoing;
use crate::domain::ids::TransactionId;
use crate::domain::money::Fen;
use crate::domain::time::Millis;
use crate::provider::{CloseOutcome, Failure, PaidTrade, TradeState};

/// `GET …/out-trade-no/{out_trade_no}` (WeChat Pay V3, query by merchant order number).
pub(super) fn query(parties: &Parties, no: &str) -> Outgoing {
    let whose = match &parties.sub {
        None => format!("mchid={}", encoded(&parties.mch_id)),
        Some(sub) => {
            let (sp, sub) = (encoded(&parties.mch_id), encoded(&sub.mch_id));
            format!("sp_mchid={sp}&sub_mchid={sub}")
        }
    };
    Outgoing::get(format!("{}?{whose}", order_path(parties, no)))
}

/// `POST …/out-trade-no/{out_trade_no}/close` (WeChat Pay V3, close order).
pub(super) fn close(parties: &Parties, no: &str) -> Outgoing {
    let whose = match &parties.sub {
        None => json!({ "mchid": parties.mch_id }),
        Some(sub) => json!({ "sp_mchid": parties.mch_id, "sub_mchid": sub.mch_id }),
    };
    Outgoing::post(format!("{}/close", order_path(parties, no)), whose.to_string())
}

/// What a query's answer tells of the order `no` of `parties`.
///
/// # Errors
///
/// [`Failure::Throttled`] for too many calls, else [`Failure::Unknown`] for everything but a signed
/// answer about this merchant's order of this number, and a 404.
///
/// The 404 is unsigned, as all refusals are; TLS vouches for it. It is believed because of what
/// it leads to: the same order call under the same number, which WeChat Pay answers with the one
/// order that a number can have.
pub(super) fn queried(parties: &Parties, no: &str, reply: Reply) -> Result<TradeState, Failure> {
    match reply {
        Reply::Verified { status: StatusCode::OK, body } => {
            told(parties, no, &body).map_err(unknown)
        }
        Reply::Verified { status, .. } => Err(unknown(format!("HTTP {status}"))),
        Reply::Refused(refusal) if is_absent(&refusal) => {
            Ok(TradeState::NotFound { date: refusal.date })
        }
        Reply::Refused(refusal) => Err(refusal.failure()),
    }
}

/// What the answer to a close means.
pub(super) enum CloseReply {
    /// What became of the order.
    Ended(CloseOutcome),
    /// "Closed already", without a signature: a query has to confirm it.
    ClosedAlready(Refusal),
}

/// What the answer to a close means.
///
/// # Errors
///
/// [`Failure::Unknown`] for everything that is no answer to the question.
pub(super) fn closed(reply: Reply) -> Result<CloseReply, Failure> {
    let refusal = match reply {
        Reply::Verified { status: StatusCode::NO_CONTENT, .. } => {
            return Ok(CloseReply::Ended(CloseOutcome::Closed));
        }
        Reply::Verified { status, .. } => return Err(unknown(format!("HTTP {status}"))),
        Reply::Refused(refusal) => refusal,
    };
    match refusal.bare_code().as_str() {
        _ if is_absent(&refusal) => Ok(CloseReply::Ended(CloseOutcome::NotFound)),
        "ORDERPAID" => Ok(CloseReply::Ended(CloseOutcome::Paid)),
        "ORDERCLOSED" => Ok(CloseReply::ClosedAlready(refusal)),
        // "Too many requests" is also what an order is answered with whose buyer is paying just
        // then (WeChat Pay V3, close order, error codes).
        "TRADEERROR" | "USERPAYING" => Ok(CloseReply::Ended(CloseOutcome::TooEarly)),
        _ if refusal.is_throttled() => Ok(CloseReply::Ended(CloseOutcome::TooEarly)),
        _ => Err(refusal.unknown()),
    }
}

fn is_absent(refusal: &Refusal) -> bool {
    refusal.status == StatusCode::NOT_FOUND && refusal.bare_code() == "ORDERNOTEXIST"
}

/// Reads a signed answer.
fn told(parties: &Parties, no: &str, body: &[u8]) -> Result<TradeState, &'static str> {
    let message: Value =
        serde_json::from_slice(body).map_err(|_| "a signed answer that is no JSON")?;
    let text = Told::deserialize(&message).map_err(|_| "a signed answer that is no order")?;
    if !text.is_merchants(parties, no) {
        return Err("a signed answer about another order");
    }
    match text.trade_state.as_str() {
        // A merchant has one order under a number, whichever of its apps it was opened with.
        _ if text.is_paid() => {
            let is_apps = text.is_apps(parties);
            let trade = text.paid(message)?;
            Ok(TradeState::Paid(PaidTrade {
                matches_order: trade.matches_order && is_apps,
                ..trade
            }))
        }
        "NOTPAY" | "USERPAYING" | "PAYERROR" | "ACCEPT" => {
            Ok(TradeState::Unpaid { trade_state: text.trade_state })
        }
        "CLOSED" => Ok(TradeState::Closed),
        // `REVOKED` is of code payments alone, which are not ordered here.
        _ => Err("a trade_state that is not documented for this order"),
    }
}

/// Whether `message`, a payment's or a refund's notification, is about the order `no` of
/// `parties`. A refund's names no app.
pub(super) fn is_of(parties: &Parties, no: &str, message: &Value) -> bool {
    let is_refund = message.get("refund_status").is_some();
    Told::deserialize(message).is_ok_and(|it| it.is_merchants(parties, no) && it.is_apps(parties))
        || is_refund && Whose::deserialize(message).is_ok_and(|it| it.matches_order(parties, no))
}

/// A refund's order and merchants.
#[derive(Deserialize)]
struct Whose {
    mchid: Option<String>,
    sp_mchid: Option<String>,
    sub_mchid: Option<String>,
    out_trade_no: String,
}

impl Whose {
    fn matches_order(&self, parties: &Parties, no: &str) -> bool {
        let sub = parties.sub.as_ref();
        let mch_id = if sub.is_some() { &self.sp_mchid } else { &self.mchid };
        mch_id.as_ref() == Some(&parties.mch_id)
            && self.sub_mchid.as_ref() == sub.map(|it| &it.mch_id)
            && self.out_trade_no == no
    }
}

/// An order, as queries and notifications tell it.
#[derive(Deserialize)]
pub(super) struct Told {
    appid: Option<String>,
    mchid: Option<String>,
    sp_appid: Option<String>,
    sp_mchid: Option<String>,
    sub_appid: Option<String>,
    sub_mchid: Option<String>,
    out_trade_no: String,
    trade_state: String,
    transaction_id: Option<String>,
    success_time: Option<String>,
    payer: Option<ToldPayer>,
    amount: Option<ToldAmount>,
}

#[derive(Deserialize)]
struct ToldPayer {
    openid: Option<String>,
    sp_openid: Option<String>,
    sub_openid: Option<String>,
}

#[derive(Deserialize)]
struct ToldAmount {
    total: Option<u64>,
    currency: Option<String>,
}

impl Told {
    /// Whom WeChat Pay tells it: the merchant, or the partner that collects for one.
    pub(super) fn whose(&self) -> Option<&String> {
        if self.sub_mchid.is_some() { self.sp_mchid.as_ref() } else { self.mchid.as_ref() }
    }

    pub(super) fn out_trade_no(&self) -> &str {
        &self.out_trade_no
    }

    /// An order that was refunded, wholly or in part, was paid.
    pub(super) fn is_paid(&self) -> bool {
        matches!(self.trade_state.as_str(), "SUCCESS" | "REFUND")
    }

    /// The currency of the price, if it is not CNY.
    pub(super) fn foreign_currency(&self) -> Option<&str> {
        let currency = self.amount.as_ref().and_then(|it| it.currency.as_deref());
        currency.filter(|it| *it != "CNY")
    }

    /// Whether it is the order `no` of the same merchants.
    fn is_merchants(&self, parties: &Parties, no: &str) -> bool {
        let sub = parties.sub.as_ref();
        let mch_id = if sub.is_some() { &self.sp_mchid } else { &self.mchid };
        mch_id.as_ref() == Some(&parties.mch_id)
            && self.sub_mchid.as_ref() == sub.map(|it| &it.mch_id)
            && self.out_trade_no == no
    }

    /// Whether it was opened with the same apps.
    fn is_apps(&self, parties: &Parties) -> bool {
        let sub = parties.sub.as_ref();
        let app_id = if sub.is_some() { &self.sp_appid } else { &self.appid };
        // Left out where the order named none.
        let sub_app_fits = match (&self.sub_appid, sub.and_then(|it| it.app_id.as_ref())) {
            (Some(told), Some(ours)) => told == ours,
            (None, _) | (_, None) => true,
        };
        app_id.as_ref() == Some(&parties.app_id) && sub_app_fits
    }

    /// `amount.total` is the order's price; what the buyer paid of it (`payer_total`) is less by
    /// WeChat Pay's own coupons.
    pub(super) fn paid(self, message: Value) -> Result<PaidTrade, &'static str> {
        let matches_order = self.foreign_currency().is_none();
        let refunded = self.trade_state == "REFUND";
        let amount = self.amount.ok_or("a payment without an amount")?;
        let total_fee = amount.total.and_then(Fen::new).ok_or("a payment without a sound total")?;
        let id = self.transaction_id.filter(|it| !it.is_empty());
        let id = id.ok_or("a payment without a transaction_id")?;
        Ok(PaidTrade {
            transaction_id: TransactionId(id.into()),
            total_fee,
            matches_order,
            refunded,
            paid_at: self.success_time.as_deref().and_then(Millis::from_rfc3339),
            openid: self.payer.and_then(|it| it.openid.or(it.sub_openid).or(it.sp_openid)),
            message: Arc::new(message),
        })
    }
}

fn order_path(parties: &Parties, no: &str) -> String {
    format!("{}/transactions/out-trade-no/{}", parties.prefix(), encoded(no))
}

/// Percent-encoded once: these bytes are both signed and sent.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// All but RFC 3986's unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
