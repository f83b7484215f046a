//! Sends a refund, and queries it.
//!
//! `refund_fee` in the reply of `alipay.trade.refund` is the total of the trade's refunds so far,
//! refunds in the console included. This refund's own amount is the one that was sent, and the
//! `refund_amount` of `alipay.trade.fastpay.refund.query`.

use std::sync::Arc;

use serde::Serialize;

use super::response::{
    CODE_BUSINESS_FAILED, CODE_SUCCESS, CODES_NOT_EXECUTED, GatewayReply, ReplyObject,
};
use super::trade;
use crate::domain::money::Fen;
use crate::domain::order::refund::RefundState;
use crate::domain::order::refund::RefundStatus;
use crate::domain::time::Millis;
use crate::provider::Failure;
use crate::provider::refund::{RefundCall, is_retry_later, truncated_reason};
use crate::provider::text::to_json;

/// Sends a refund.
pub(super) const REFUND: &str = "alipay.trade.refund";
/// Queries a refund.
pub(super) const QUERY: &str = "alipay.trade.fastpay.refund.query";

#[derive(Serialize)]
struct RefundBizContent<'a> {
    trade_no: &'a str,
    refund_amount: String,
    out_request_no: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    refund_reason: Option<String>,
}

/// The `biz_content` that sends the refund of `refund_call`.
pub(super) fn refund_content(refund_call: &RefundCall<'_>) -> String {
    let document = RefundBizContent {
        trade_no: &refund_call.payment.transaction_id.0,
        refund_amount: refund_call.refund.refund_fee.to_yuan(),
        out_request_no: &refund_call.refund.out_refund_no,
        refund_reason: truncated_reason(refund_call.refund, REASON_BYTES_MAX),
    };
    to_json(&document)
}

#[derive(Serialize)]
struct RefundQueryBizContent<'a> {
    trade_no: &'a str,
    out_request_no: &'a str,
    /// The fields that Alipay replies with on request only.
    query_options: [&'static str; 2],
}

/// The `biz_content` that queries it.
pub(super) fn query_content(refund_call: &RefundCall<'_>) -> String {
    let question = RefundQueryBizContent {
        trade_no: &refund_call.payment.transaction_id.0,
        out_request_no: &refund_call.refund.out_refund_no,
        query_options: ["gmt_refund_pay", "refund_detail_item_list"],
    };
    to_json(&question)
}

/// Parses the reply to the refund of `refund_call`. Success is `fund_change=Y` alone: Alipay also
/// answers 10000 to a repeat, and to a refund that it has yet to execute, which the engine must
/// query (alipay.trade.refund, "how to tell a success").
///
/// # Errors
///
/// [`Failure::Refused`] when Alipay signed the refusal; [`Failure::NotSent`] when it asks for the
/// same refund later; [`Failure::OutcomeUnknown`] for everything else that is no signed success.
pub(super) fn parse_refund_reply(
    reply: GatewayReply,
    refund_call: &RefundCall<'_>,
) -> Result<RefundStatus, Failure> {
    let object = require_signed(reply)?;
    if object.code() != CODE_SUCCESS {
        return Err(failure_of(&object));
    }
    if !is_about(&object, refund_call) {
        return Err(Failure::unknown("the reply is about another refund"));
    }
    let has_moved = object.text("fund_change") == Some("Y");
    let state = if has_moved { RefundState::Success } else { RefundState::Processing };
    Ok(RefundStatus {
        refund_id: None,
        state,
        refund_fee: Some(refund_call.refund.refund_fee),
        refunded_total: fen(&object, "refund_fee"),
        cash_refund_fee: None,
        refunded_at: object.text("gmt_refund_pay").filter(|_| has_moved).and_then(parse_time),
        message: Arc::new(serde_json::Value::Object(object.0)),
    })
}

/// The status of the refund of `refund_call` by the reply to a query; [`None`] when the reply has
/// no refund.
///
/// Without a `refund_status` Alipay did not receive the refund, or failed to execute it, and the
/// engine may send it again under its number (alipay.trade.fastpay.refund.query, refund_status).
///
/// # Errors
///
/// [`Failure::NotSent`] when Alipay asks for the query later, else [`Failure::OutcomeUnknown`]: a
/// refused query states nothing about the refund.
pub(super) fn parse_query_reply(
    reply: GatewayReply,
    refund_call: &RefundCall<'_>,
) -> Result<Option<RefundStatus>, Failure> {
    let object = require_signed(reply)?;
    if object.code() != CODE_SUCCESS {
        return Err(match failure_of(&object) {
            Failure::Refused { code, message } => {
                let reason = format!("alipay refused the query of a refund: {code}");
                Failure::OutcomeUnknown { reason, provider_error: Some((code, message)) }
            }
            other => other,
        });
    }
    let state = match object.text("refund_status") {
        None => return Ok(None),
        Some("REFUND_SUCCESS") => RefundState::Success,
        Some("REFUND_PROCESSING") => RefundState::Processing,
        Some(_) => return Err(Failure::unknown("the refund is in a state that is not known here")),
    };
    let is_same = object
        .text("out_request_no")
        .is_none_or(|number| number == refund_call.refund.out_refund_no);
    if !is_same || !is_about(&object, refund_call) {
        return Err(Failure::unknown("the reply is about another refund"));
    }
    let refund_fee = fen(&object, "refund_amount");
    Ok(Some(RefundStatus {
        refund_id: None,
        state,
        refund_fee: Some(
            refund_fee.ok_or_else(|| Failure::unknown("a refund without a refund_amount"))?,
        ),
        refunded_total: None,
        cash_refund_fee: fen(&object, "send_back_fee"),
        refunded_at: object.text("gmt_refund_pay").and_then(parse_time),
        message: Arc::new(serde_json::Value::Object(object.0)),
    }))
}

/// A throttled call did nothing: the engine sends the same later, under the same number.
pub(super) fn not_yet_executed(failure: Failure) -> Failure {
    match failure {
        Failure::Throttled { code, message } => {
            Failure::NotSent(format!("not taken yet: {code} {message}"))
        }
        other => other,
    }
}

fn require_signed(reply: GatewayReply) -> Result<ReplyObject, Failure> {
    trade::require_signed(reply).map_err(not_yet_executed)
}

/// The time of a refund, the only one that may have thousandths: `2015-04-28 15:45:57.320`.
pub(super) fn parse_time(text: &str) -> Option<Millis> {
    Millis::from_alipay(text.split_once('.').map_or(text, |(seconds, _)| seconds))
}

fn is_about(object: &ReplyObject, refund_call: &RefundCall<'_>) -> bool {
    object.text("trade_no") == Some(&*refund_call.payment.transaction_id.0)
}

fn fen(object: &ReplyObject, name: &str) -> Option<Fen> {
    object.text(name).and_then(Fen::from_yuan).filter(|fee| fee.fen() > 0)
}

/// The failure for a signed reply other than success.
fn failure_of(object: &ReplyObject) -> Failure {
    let (code, message) = object.provider_error();
    if object.is_throttled() {
        return not_yet_executed(Failure::Throttled { code, message });
    }
    let is_early = object.code() == CODE_BUSINESS_FAILED
        && (LATER.contains(&object.sub_code()) || is_retry_later(&message));
    let is_known = match object.code() {
        CODE_BUSINESS_FAILED => !["", "SYSTEM_ERROR"].contains(&object.sub_code()),
        other => CODES_NOT_EXECUTED.contains(&other),
    };
    match (is_known, is_early) {
        (true, true) => Failure::NotSent(format!("not taken yet: {code} {message}")),
        (true, false) => Failure::Refused { code, message },
        (false, _) => Failure::OutcomeUnknown {
            reason: format!("alipay answered {code}"),
            provider_error: Some((code, message)),
        },
    }
}

/// `sub_code`s that ask for the same refund later (alipay.trade.refund, error codes).
const LATER: [&str; 1] = ["REFUND_CHARGE_ERROR"];

/// `refund_reason` (alipay.trade.refund, request parameters): 256 characters; bytes are fewer.
const REASON_BYTES_MAX: usize = 256;
