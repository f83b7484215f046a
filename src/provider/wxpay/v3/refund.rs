//! Sending money back, and asking what became of it.

use std::sync::Arc;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::client::{Refusal, Reply, unknown};
use super::order::Parties;
use super::sign::Outgoing;
use super::trade::encoded;
use crate::domain::ids::ChannelNo;
use crate::domain::money::Fen;
use crate::domain::order::refund::RefundState;
use crate::domain::order::refund::RefundStatus;
use crate::domain::time::Millis;
use crate::provider::Failure;
use crate::provider::refund::{RefundCall, asks_to_wait, reason};

/// `POST /v3/refund/domestic/refunds`, for merchants and for partners (WeChat Pay V3, refund
/// request).
#[derive(Serialize)]
struct Document<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_mchid: Option<&'a str>,
    transaction_id: &'a str,
    out_refund_no: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Never left out: WeChat Pay would report to the address in its console, in V2's XML (WeChat
    /// Pay V3, refund result notification, FAQ).
    notify_url: &'a str,
    amount: Amount,
}

#[derive(Serialize)]
struct Amount {
    refund: Fen,
    /// The order's price.
    total: Fen,
    /// Required here, though not of an order.
    currency: &'static str,
}

/// The refund of `plan`.
pub(super) fn send(parties: &Parties, plan: &RefundCall<'_>) -> Outgoing {
    let document = Document {
        sub_mchid: parties.sub.as_ref().map(|it| &*it.mch_id),
        transaction_id: &plan.payment.transaction_id.0,
        out_refund_no: &plan.refund.out_refund_no,
        reason: reason(plan.refund, REASON_BYTES_MAX),
        notify_url: plan.notify_url,
        amount: Amount {
            refund: plan.refund.refund_fee,
            total: plan.payment.total_fee,
            currency: "CNY",
        },
    };
    let body = serde_json::to_string(&document).expect("texts and integers are always JSON");
    Outgoing::post(PATH.to_owned(), body)
}

/// `GET /v3/refund/domestic/refunds/{out_refund_no}` (WeChat Pay V3, query a refund).
pub(super) fn query(parties: &Parties, plan: &RefundCall<'_>) -> Outgoing {
    let path = format!("{PATH}/{}", encoded(&plan.refund.out_refund_no));
    Outgoing::get(match &parties.sub {
        None => path,
        Some(sub) => format!("{path}?sub_mchid={}", encoded(&sub.mch_id)),
    })
}

/// What the answer to a refund of the order `no` means.
///
/// # Errors
///
/// [`Failure::Refused`] for a code that is about the refund itself. It is unsigned, and the money
/// that it sets free may be sent back again: a query has to confirm it.
///
/// [`Failure::NotSent`] when WeChat Pay asks for the same refund later; [`Failure::Unknown`] for
/// everything else but a signed answer about exactly this refund.
pub(super) fn sent(
    plan: &RefundCall<'_>,
    no: &ChannelNo,
    reply: Reply,
) -> Result<RefundStatus, Failure> {
    match reply {
        Reply::Verified { status: StatusCode::OK, body } => told(plan, no, &body).map_err(unknown),
        Reply::Verified { status, .. } => Err(unknown(format!("HTTP {status}"))),
        Reply::Refused(refusal) if is_early(&refusal) => {
            Err(Failure::NotSent(format!("not taken yet: {refusal} {}", refusal.message)))
        }
        Reply::Refused(refusal) if is_final(&refusal) => Err(refusal.refused()),
        Reply::Refused(refusal) => Err(refusal.unknown()),
    }
}

/// What a query's answer tells of the refund of `plan`; [`None`] when there is no such refund.
///
/// # Errors
///
/// [`Failure::Unknown`] for everything but a signed answer about exactly this refund, and a 404:
/// that leads to the same refund under the same number, which is executed once.
pub(super) fn queried(
    plan: &RefundCall<'_>,
    no: &ChannelNo,
    reply: Reply,
) -> Result<Option<RefundStatus>, Failure> {
    match reply {
        Reply::Verified { status: StatusCode::OK, body } => {
            told(plan, no, &body).map(Some).map_err(unknown)
        }
        Reply::Verified { status, .. } => Err(unknown(format!("HTTP {status}"))),
        Reply::Refused(refusal) if is_absent(&refusal) => Ok(None),
        Reply::Refused(refusal) => Err(refusal.unknown()),
    }
}

/// A refund, as answers tell it.
#[derive(Deserialize)]
struct Told {
    refund_id: Option<String>,
    out_refund_no: String,
    transaction_id: String,
    out_trade_no: String,
    status: String,
    success_time: Option<String>,
    amount: ToldAmount,
}

#[derive(Deserialize)]
struct ToldAmount {
    refund: u64,
    /// What of it the buyer gets.
    payer_refund: Option<u64>,
    currency: Option<String>,
}

/// Reads a signed answer. The merchant is not in it: it is the one that asked, and that has one
/// refund under a number.
fn told(plan: &RefundCall<'_>, no: &ChannelNo, body: &[u8]) -> Result<RefundStatus, &'static str> {
    let message: Value =
        serde_json::from_slice(body).map_err(|_| "a signed answer that is no JSON")?;
    let text = Told::deserialize(&message).map_err(|_| "a signed answer that is no refund")?;
    let is_ours = text.out_refund_no == plan.refund.out_refund_no
        && *text.transaction_id == *plan.payment.transaction_id.0
        && text.out_trade_no == no.as_str();
    if !is_ours {
        return Err("a signed answer about another refund");
    }
    if text.amount.currency.is_some_and(|it| it != "CNY") {
        return Err("a refund in another currency");
    }
    Ok(RefundStatus {
        refund_id: text.refund_id.filter(|it| !it.is_empty()),
        state: state(&text.status).ok_or("a refund in a state that is not documented")?,
        refund_fee: Some(Fen::new(text.amount.refund).ok_or("a refund without a sound amount")?),
        refunded_total: None,
        cash_refund_fee: text.amount.payer_refund.and_then(Fen::new),
        refunded_at: text.success_time.as_deref().and_then(Millis::from_rfc3339),
        message: Arc::new(message),
    })
}

/// `status` of answers, `refund_status` of notifications (WeChat Pay V3, refund result
/// notification).
pub(super) fn state(status: &str) -> Option<RefundState> {
    match status {
        "SUCCESS" => Some(RefundState::Success),
        "PROCESSING" => Some(RefundState::Processing),
        "ABNORMAL" => Some(RefundState::Abnormal),
        "CLOSED" => Some(RefundState::Closed),
        _ => None,
    }
}

fn is_absent(refusal: &Refusal) -> bool {
    refusal.status == StatusCode::NOT_FOUND && refusal.bare_code() == "RESOURCENOTEXISTS"
}

/// Whether the same refund is to be sent later: partial refunds of an order stand a minute apart,
/// and there are only so many calls a second (WeChat Pay V3, refund request, notes and error
/// codes). The interval comes under several codes.
fn is_early(refusal: &Refusal) -> bool {
    match refusal.bare_code().as_str() {
        "RULELIMIT" | "INVALIDREQUEST" | "TRADEERROR" => asks_to_wait(&refusal.message),
        _ => refusal.is_throttled(),
    }
}

/// Whether the refusal is about the refund itself (WeChat Pay V3, refund request, error codes).
fn is_final(refusal: &Refusal) -> bool {
    let is_known = match refusal.bare_code().as_str() {
        // What our clock did is no fault of the refund's.
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
