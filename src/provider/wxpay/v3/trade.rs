//! Queries an order, and closes it.

use std::sync::Arc;

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::ApiResponse;
use super::order::Parties;
use super::refusal::ApiRefusal;
use super::request_signature::UnsignedRequest;
use crate::domain::ids::TransactionId;
use crate::domain::money::Fen;
use crate::domain::time::Millis;
use crate::provider::text::percent_encoded;
use crate::provider::{CloseOutcome, Failure, PaidTrade, TradeState};

/// `GET …/out-trade-no/{out_trade_no}` (WeChat Pay V3, query by merchant order number).
pub(super) fn query_request(parties: &Parties, channel_no: &str) -> UnsignedRequest {
    let owner = match &parties.sub {
        None => format!("mchid={}", percent_encoded(&parties.mch_id)),
        Some(sub) => {
            let (sp, sub) = (percent_encoded(&parties.mch_id), percent_encoded(&sub.mch_id));
            format!("sp_mchid={sp}&sub_mchid={sub}")
        }
    };
    UnsignedRequest::get(format!("{}?{owner}", order_path(parties, channel_no)))
}

/// `POST …/out-trade-no/{out_trade_no}/close` (WeChat Pay V3, close order).
pub(super) fn close_request(parties: &Parties, channel_no: &str) -> UnsignedRequest {
    let owner = match &parties.sub {
        None => json!({ "mchid": parties.mch_id }),
        Some(sub) => json!({ "sp_mchid": parties.mch_id, "sub_mchid": sub.mch_id }),
    };
    UnsignedRequest::post(format!("{}/close", order_path(parties, channel_no)), owner.to_string())
}

/// The state of the order `channel_no` of `parties` by the response to a query.
///
/// # Errors
///
/// [`Failure::Throttled`] for too many calls, else [`Failure::OutcomeUnknown`] for everything but a
/// signed response about this merchant's order of this number, and a 404.
///
/// The 404 is unsigned, as all refusals are; TLS vouches for it. We trust it because it only leads
/// to the same order call under the same number, which WeChat Pay answers with the one order that
/// a number can have.
pub(super) fn parse_query_response(
    parties: &Parties,
    channel_no: &str,
    response: ApiResponse,
) -> Result<TradeState, Failure> {
    match response {
        ApiResponse::Verified { status: StatusCode::OK, body } => {
            parse_trade(parties, channel_no, &body).map_err(Failure::unknown)
        }
        ApiResponse::Verified { status, .. } => Err(Failure::unknown(format!("HTTP {status}"))),
        ApiResponse::Refused(refusal) if is_absent(&refusal) => {
            Ok(TradeState::NotFound { date: refusal.date })
        }
        ApiResponse::Refused(refusal) => Err(refusal.into_failure()),
    }
}

/// The response to a close.
pub(super) enum CloseResponse {
    /// The close ended so.
    Ended(CloseOutcome),
    /// "Closed already", without a signature: a query has to confirm it.
    ClosedAlready(ApiRefusal),
}

/// Parses the response to a close.
///
/// # Errors
///
/// [`Failure::OutcomeUnknown`] for everything else than a response to this close.
pub(super) fn parse_close_response(response: ApiResponse) -> Result<CloseResponse, Failure> {
    let refusal = match response {
        ApiResponse::Verified { status: StatusCode::NO_CONTENT, .. } => {
            return Ok(CloseResponse::Ended(CloseOutcome::Closed));
        }
        ApiResponse::Verified { status, .. } => {
            return Err(Failure::unknown(format!("HTTP {status}")));
        }
        ApiResponse::Refused(refusal) => refusal,
    };
    match refusal.bare_code().as_str() {
        _ if is_absent(&refusal) => Ok(CloseResponse::Ended(CloseOutcome::NotFound)),
        "ORDERPAID" => Ok(CloseResponse::Ended(CloseOutcome::Paid)),
        "ORDERCLOSED" => Ok(CloseResponse::ClosedAlready(refusal)),
        // WeChat Pay also answers "too many requests" while the buyer is paying the order (WeChat
        // Pay V3, close order, error codes).
        "TRADEERROR" | "USERPAYING" => Ok(CloseResponse::Ended(CloseOutcome::TooEarly)),
        _ if refusal.is_throttled() => Ok(CloseResponse::Ended(CloseOutcome::TooEarly)),
        _ => Err(refusal.into_unknown()),
    }
}

fn is_absent(refusal: &ApiRefusal) -> bool {
    refusal.status == StatusCode::NOT_FOUND && refusal.bare_code() == "ORDERNOTEXIST"
}

/// Reads the body of a signed response.
fn parse_trade(
    parties: &Parties,
    channel_no: &str,
    body: &[u8],
) -> Result<TradeState, &'static str> {
    let message: Value =
        serde_json::from_slice(body).map_err(|_| "a signed answer that is no JSON")?;
    let transaction =
        Transaction::deserialize(&message).map_err(|_| "a signed answer that is no order")?;
    if !transaction.owner.is_order_of(parties, channel_no) {
        return Err("a signed answer about another order");
    }
    match transaction.trade_state.as_str() {
        // A merchant has one order under a number, whichever of its apps it was opened with.
        _ if transaction.is_paid() => {
            let has_our_apps = transaction.has_apps_of(parties);
            let trade = transaction.into_paid(message)?;
            Ok(TradeState::Paid(PaidTrade {
                matches_order: trade.matches_order && has_our_apps,
                ..trade
            }))
        }
        "NOTPAY" | "USERPAYING" | "PAYERROR" | "ACCEPT" => {
            Ok(TradeState::Unpaid { trade_state: transaction.trade_state })
        }
        "CLOSED" => Ok(TradeState::Closed),
        // `REVOKED` is a state of code payments only, which we do not order.
        _ => Err("a trade_state that is not documented for this order"),
    }
}

/// Whether `message`, a payment's or a refund's notification, is about the order `channel_no` of
/// `parties`. A refund's names no app.
pub(super) fn is_about(parties: &Parties, channel_no: &str, message: &Value) -> bool {
    let is_refund = message.get("refund_status").is_some();
    Transaction::deserialize(message).is_ok_and(|order| {
        order.owner.is_order_of(parties, channel_no) && order.has_apps_of(parties)
    }) || is_refund
        && OrderOwner::deserialize(message)
            .is_ok_and(|owner| owner.is_order_of(parties, channel_no))
}

/// The merchants and the number in a message about an order or its refund.
#[derive(Deserialize)]
pub(super) struct OrderOwner {
    mchid: Option<String>,
    sp_mchid: Option<String>,
    sub_mchid: Option<String>,
    pub(super) out_trade_no: String,
}

impl OrderOwner {
    /// The account that WeChat Pay sends the message to: the merchant, or the partner that collects
    /// for one.
    pub(super) fn mch_id(&self) -> Option<&String> {
        if self.sub_mchid.is_some() { self.sp_mchid.as_ref() } else { self.mchid.as_ref() }
    }

    /// Whether it is the order `channel_no` of the same merchants.
    fn is_order_of(&self, parties: &Parties, channel_no: &str) -> bool {
        let sub = parties.sub.as_ref();
        let mch_id = if sub.is_some() { &self.sp_mchid } else { &self.mchid };
        mch_id.as_ref() == Some(&parties.mch_id)
            && self.sub_mchid.as_ref() == sub.map(|sub| &sub.mch_id)
            && self.out_trade_no == channel_no
    }
}

/// An order in the response to a query and in a notification (WeChat Pay V3, query order; payment
/// notification).
#[derive(Deserialize)]
pub(super) struct Transaction {
    #[serde(flatten)]
    pub(super) owner: OrderOwner,
    appid: Option<String>,
    sp_appid: Option<String>,
    sub_appid: Option<String>,
    trade_state: String,
    transaction_id: Option<String>,
    success_time: Option<String>,
    payer: Option<TransactionPayer>,
    amount: Option<TransactionAmount>,
}

#[derive(Deserialize)]
struct TransactionPayer {
    openid: Option<String>,
    sp_openid: Option<String>,
    sub_openid: Option<String>,
}

#[derive(Deserialize)]
struct TransactionAmount {
    total: Option<u64>,
    currency: Option<String>,
}

impl Transaction {
    /// An order that was refunded, wholly or in part, was paid.
    pub(super) fn is_paid(&self) -> bool {
        matches!(self.trade_state.as_str(), "SUCCESS" | "REFUND")
    }

    /// The currency of the price, if it is not CNY.
    pub(super) fn other_currency(&self) -> Option<&str> {
        let currency = self.amount.as_ref().and_then(|amount| amount.currency.as_deref());
        currency.filter(|currency| *currency != "CNY")
    }

    /// Whether it was opened with the same apps.
    fn has_apps_of(&self, parties: &Parties) -> bool {
        let sub = parties.sub.as_ref();
        let app_id = if sub.is_some() { &self.sp_appid } else { &self.appid };
        // WeChat Pay leaves it out where the order named none.
        let sub_app_fits = match (&self.sub_appid, sub.and_then(|sub| sub.app_id.as_ref())) {
            (Some(named), Some(ours)) => named == ours,
            (None, _) | (_, None) => true,
        };
        app_id.as_ref() == Some(&parties.app_id) && sub_app_fits
    }

    /// The payment in `message`. `amount.total` is the order's price; the buyer's part of it
    /// (`payer_total`) is less by WeChat Pay's own coupons.
    pub(super) fn into_paid(self, message: Value) -> Result<PaidTrade, &'static str> {
        let matches_order = self.other_currency().is_none();
        let refunded = self.trade_state == "REFUND";
        let amount = self.amount.ok_or("a payment without an amount")?;
        let total_fee = amount.total.and_then(Fen::new).ok_or("a payment without a sound total")?;
        let id = self.transaction_id.filter(|text| !text.is_empty());
        let id = id.ok_or("a payment without a transaction_id")?;
        Ok(PaidTrade {
            transaction_id: TransactionId(id.into()),
            total_fee,
            matches_order,
            refunded,
            paid_at: self.success_time.as_deref().and_then(Millis::from_rfc3339),
            openid: self
                .payer
                .and_then(|payer| payer.openid.or(payer.sub_openid).or(payer.sp_openid)),
            message: Arc::new(message),
        })
    }
}

fn order_path(parties: &Parties, channel_no: &str) -> String {
    format!("{}/transactions/out-trade-no/{}", parties.prefix(), percent_encoded(channel_no))
}
