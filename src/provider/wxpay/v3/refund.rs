//! Sends a refund, and queries it.

use std::sync::Arc;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::client::ApiResponse;
use super::order::Parties;
use super::refusal::ApiRefusal;
use super::request_signature::UnsignedRequest;
use crate::domain::ids::ChannelNo;
use crate::domain::money::Fen;
use crate::domain::order::refund::RefundState;
use crate::domain::order::refund::RefundStatus;
use crate::domain::time::Millis;
use crate::provider::Failure;
use crate::provider::refund::{RefundCall, is_retry_later, truncated_reason};
use crate::provider::text::{percent_encoded, to_json};

/// `POST /v3/refund/domestic/refunds`, for merchants and for partners (WeChat Pay V3, refund
/// request).
#[derive(Serialize)]
struct RefundDocument<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_mchid: Option<&'a str>,
    transaction_id: &'a str,
    out_refund_no: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Never left out: WeChat Pay would report to the address in its console, in V2's XML (WeChat
    /// Pay V3, refund result notification, FAQ).
    notify_url: &'a str,
    amount: RefundAmount,
}

#[derive(Serialize)]
struct RefundAmount {
    refund: Fen,
    /// The order's price.
    total: Fen,
    /// Required here, though not of an order.
    currency: &'static str,
}

/// The request that sends the refund of `refund_call`.
pub(super) fn refund_request(parties: &Parties, refund_call: &RefundCall<'_>) -> UnsignedRequest {
    let document = RefundDocument {
        sub_mchid: parties.sub.as_ref().map(|sub| &*sub.mch_id),
        transaction_id: &refund_call.payment.transaction_id.0,
        out_refund_no: &refund_call.refund.out_refund_no,
        reason: truncated_reason(refund_call.refund, REASON_BYTES_MAX),
        notify_url: refund_call.notify_url,
        amount: RefundAmount {
            refund: refund_call.refund.refund_fee,
            total: refund_call.payment.total_fee,
            currency: "CNY",
        },
    };
    let body = to_json(&document);
    UnsignedRequest::post(PATH.to_owned(), body)
}

/// `GET /v3/refund/domestic/refunds/{out_refund_no}` (WeChat Pay V3, query a refund).
pub(super) fn query_request(parties: &Parties, refund_call: &RefundCall<'_>) -> UnsignedRequest {
    let path = format!("{PATH}/{}", percent_encoded(&refund_call.refund.out_refund_no));
    UnsignedRequest::get(match &parties.sub {
        None => path,
        Some(sub) => format!("{path}?sub_mchid={}", percent_encoded(&sub.mch_id)),
    })
}

/// Parses the response to a refund of the order `channel_no`.
///
/// # Errors
///
/// [`Failure::Refused`] for a code that is about the refund itself. It is unsigned, and the money
/// that it sets free may be refunded again: a query has to confirm it.
///
/// [`Failure::NotSent`] when WeChat Pay asks for the same refund later;
/// [`Failure::OutcomeUnknown`] for everything else but a signed response about exactly this refund.
pub(super) fn parse_refund_response(
    refund_call: &RefundCall<'_>,
    channel_no: &ChannelNo,
    response: ApiResponse,
) -> Result<RefundStatus, Failure> {
    match response {
        ApiResponse::Verified { status: StatusCode::OK, body } => {
            parse_refund(refund_call, channel_no, &body).map_err(Failure::unknown)
        }
        ApiResponse::Verified { status, .. } => Err(Failure::unknown(format!("HTTP {status}"))),
        ApiResponse::Refused(refusal) if is_early(&refusal) => {
            Err(Failure::NotSent(format!("not taken yet: {refusal} {}", refusal.message)))
        }
        ApiResponse::Refused(refusal) if is_final(&refusal) => Err(refusal.into_refused()),
        ApiResponse::Refused(refusal) => Err(refusal.into_unknown()),
    }
}

/// The status of the refund of `refund_call` by the response to a query; [`None`] when there is no
/// such refund.
///
/// # Errors
///
/// [`Failure::OutcomeUnknown`] for everything but a signed response about exactly this refund, and
/// a 404: that leads to the same refund under the same number, which WeChat Pay executes once.
pub(super) fn parse_query_response(
    refund_call: &RefundCall<'_>,
    channel_no: &ChannelNo,
    response: ApiResponse,
) -> Result<Option<RefundStatus>, Failure> {
    match response {
        ApiResponse::Verified { status: StatusCode::OK, body } => {
            parse_refund(refund_call, channel_no, &body).map(Some).map_err(Failure::unknown)
        }
        ApiResponse::Verified { status, .. } => Err(Failure::unknown(format!("HTTP {status}"))),
        ApiResponse::Refused(refusal) if is_absent(&refusal) => Ok(None),
        ApiResponse::Refused(refusal) => Err(refusal.into_unknown()),
    }
}

/// A refund in a response (WeChat Pay V3, query a refund).
#[derive(Deserialize)]
struct RefundResponse {
    refund_id: Option<String>,
    out_refund_no: String,
    transaction_id: String,
    out_trade_no: String,
    status: String,
    success_time: Option<String>,
    amount: RefundResponseAmount,
}

#[derive(Deserialize)]
struct RefundResponseAmount {
    refund: u64,
    /// The buyer's part of it.
    payer_refund: Option<u64>,
    currency: Option<String>,
}

/// Reads the body of a signed response. It names no merchant: it is about the one that made the
/// call, which has one refund under a number.
fn parse_refund(
    refund_call: &RefundCall<'_>,
    channel_no: &ChannelNo,
    body: &[u8],
) -> Result<RefundStatus, &'static str> {
    let message: Value =
        serde_json::from_slice(body).map_err(|_| "a signed answer that is no JSON")?;
    let text =
        RefundResponse::deserialize(&message).map_err(|_| "a signed answer that is no refund")?;
    let is_ours = text.out_refund_no == refund_call.refund.out_refund_no
        && *text.transaction_id == *refund_call.payment.transaction_id.0
        && text.out_trade_no == channel_no.as_str();
    if !is_ours {
        return Err("a signed answer about another refund");
    }
    if text.amount.currency.is_some_and(|currency| currency != "CNY") {
        return Err("a refund in another currency");
    }
    Ok(RefundStatus {
        refund_id: text.refund_id.filter(|text| !text.is_empty()),
        state: parse_state(&text.status).ok_or("a refund in a state that is not documented")?,
        refund_fee: Some(Fen::new(text.amount.refund).ok_or("a refund without a sound amount")?),
        refunded_total: None,
        cash_refund_fee: text.amount.payer_refund.and_then(Fen::new),
        refunded_at: text.success_time.as_deref().and_then(Millis::from_rfc3339),
        message: Arc::new(message),
    })
}

/// `status` of responses, `refund_status` of notifications (WeChat Pay V3, refund result
/// notification).
pub(super) fn parse_state(status: &str) -> Option<RefundState> {
    match status {
        "SUCCESS" => Some(RefundState::Success),
        "PROCESSING" => Some(RefundState::Processing),
        "ABNORMAL" => Some(RefundState::Abnormal),
        "CLOSED" => Some(RefundState::Closed),
        _ => None,
    }
}

fn is_absent(refusal: &ApiRefusal) -> bool {
    refusal.status == StatusCode::NOT_FOUND && refusal.bare_code() == "RESOURCENOTEXISTS"
}

/// Whether the engine must send the same refund later: WeChat Pay takes partial refunds of an order
/// a minute apart, and only so many calls a second (WeChat Pay V3, refund request, notes and error
/// codes). It reports the interval under several codes.
fn is_early(refusal: &ApiRefusal) -> bool {
    match refusal.bare_code().as_str() {
        "RULELIMIT" | "INVALIDREQUEST" | "TRADEERROR" => is_retry_later(&refusal.message),
        _ => refusal.is_throttled(),
    }
}

/// Whether the refusal is about the refund itself (WeChat Pay V3, refund request, error codes).
fn is_final(refusal: &ApiRefusal) -> bool {
    let is_known = match refusal.bare_code().as_str() {
        // A wrong clock of ours is no fault of the refund's.
        "SIGNERROR" => !refusal.is_about_time(),
        code => FINAL.contains(&code),
    };
    is_known && refusal.status.is_client_error()
}

/// Without underscores.
const FINAL: [&str; 13] = [
    "PARAMERROR",
    "INVALIDREQUEST",
    "APPIDMCHIDNOTMATCH",
    "MCHNOTEXISTS",
    "NOAUTH",
    "RULELIMIT",
    "TRADEERROR",
    "ACCOUNTERROR",
    "NOTENOUGH",
    "USERACCOUNTABNORMAL",
    "REFUNDFEEMISMATCH",
    "ORDERNOTEXIST",
    "RESOURCENOTEXISTS",
];

const PATH: &str = "/v3/refund/domestic/refunds";

/// `reason` (WeChat Pay V3, refund request).
const REASON_BYTES_MAX: usize = 80;
