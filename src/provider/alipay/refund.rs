//! Sending money back, and asking what became of it.
//!
//! `refund_fee` in the answer of `alipay.trade.refund` is what went back of the trade so far, in
//! all, refunds in the console included. This refund's own amount is the one that was sent, and the
//! `refund_amount` of `alipay.trade.fastpay.refund.query`.

use std::sync::Arc;

use serde::Serialize;

use super::outcome::{self, DONE, NOT_EXECUTED, REFUSED};
use super::response::{Node, Reply, unknown};
use crate::domain::money::Fen;
use crate::domain::order::refund::RefundState;
use crate::domain::order::refund::RefundStatus;
use crate::domain::time::Millis;
use crate::provider::Failure;
use crate::provider::refund::{RefundCall, asks_to_wait, reason};

/// Sends money back.
pub(super) const REFUND: &str = "alipay.trade.refund";
/// Asks about a refund.
pub(super) const QUERY: &str = "alipay.trade.fastpay.refund.query";

#[derive(Serialize)]
struct Document<'a> {
    trade_no: &'a str,
    refund_amount: String,
    out_request_no: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    refund_reason: Option<String>,
}

/// The `biz_content` that sends the refund of `plan`.
pub(super) fn document(plan: &RefundCall<'_>) -> String {
    let document = Document {
        trade_no: &plan.payment.transaction_id.0,
        refund_amount: plan.refund.refund_fee.to_yuan(),
        out_request_no: &plan.refund.out_refund_no,
        refund_reason: reason(plan.refund, REASON_BYTES_MAX),
    };
    serde_json::to_string(&document).expect("texts make JSON")
}

#[derive(Serialize)]
struct Question<'a> {
    trade_no: &'a str,
    out_request_no: &'a str,
    /// What is told only on request.
    query_options: [&'static str; 2],
}

/// The `biz_content` that asks about it.
pub(super) fn question(plan: &RefundCall<'_>) -> String {
    let question = Question {
        trade_no: &plan.payment.transaction_id.0,
        out_request_no: &plan.refund.out_refund_no,
        query_options: ["gmt_refund_pay", "refund_detail_item_list"],
    };
    serde_json::to_string(&question).expect("texts make JSON")
}

/// What became of sending the refund of `plan`. Success is `fund_change=Y` alone: a repeat, and
/// what Alipay has yet to do, are answered with 10000 as well, and are to be asked about
/// (alipay.trade.refund, "how to tell a success").
///
/// # Errors
///
/// [`Failure::Refused`] when Alipay signed that it is; [`Failure::NotSent`] when it asks for the
/// same refund later; [`Failure::Unknown`] for everything else that is no signed success.
pub(super) fn sent(reply: Reply, plan: &RefundCall<'_>) -> Result<RefundStatus, Failure> {
    let node = signed(reply)?;
    if node.code() != DONE {
        return Err(refusal(&node));
    }
    if !is_of(&node, plan) {
        return Err(unknown("the reply is about another refund"));
    }
    let has_moved = node.text("fund_change") == Some("Y");
    let state = if has_moved { RefundState::Success } else { RefundState::Processing };
    Ok(RefundStatus {
        refund_id: None,
        state,
        refund_fee: Some(plan.refund.refund_fee),
        refunded_total: fen(&node, "refund_fee"),
        cash_refund_fee: None,
        refunded_at: node.text("gmt_refund_pay").filter(|_| has_moved).and_then(time),
        message: Arc::new(serde_json::Value::Object(node.0)),
    })
}

/// What a query tells of the refund of `plan`; [`None`] when it tells of no refund.
///
/// Without a `refund_status` the refund was not received, or failed, and may be sent again under
/// its number (alipay.trade.fastpay.refund.query, refund_status).
///
/// # Errors
///
/// [`Failure::NotSent`] when Alipay asks for the question later, else [`Failure::Unknown`]: a
/// question that is refused says nothing about the refund.
pub(super) fn queried(
    reply: Reply,
    plan: &RefundCall<'_>,
) -> Result<Option<RefundStatus>, Failure> {
    let node = signed(reply)?;
    if node.code() != DONE {
        return Err(match refusal(&node) {
            Failure::Refused { code, message } => {
                let reason = format!("alipay does not tell of the refund: {code}");
                Failure::OutcomeUnknown { reason, said: Some((code, message)) }
            }
            other => other,
        });
    }
    let state = match node.text("refund_status") {
        None => return Ok(None),
        Some("REFUND_SUCCESS") => RefundState::Success,
        Some("REFUND_PROCESSING") => RefundState::Processing,
        Some(_) => return Err(unknown("the refund is in a state that is not known here")),
    };
    let is_same = node.text("out_request_no").is_none_or(|it| it == plan.refund.out_refund_no);
    if !is_same || !is_of(&node, plan) {
        return Err(unknown("the reply is about another refund"));
    }
    let refund_fee = fen(&node, "refund_amount");
    Ok(Some(RefundStatus {
        refund_id: None,
        state,
        refund_fee: Some(refund_fee.ok_or_else(|| unknown("a refund without a refund_amount"))?),
        refunded_total: None,
        cash_refund_fee: fen(&node, "send_back_fee"),
        refunded_at: node.text("gmt_refund_pay").and_then(time),
        message: Arc::new(serde_json::Value::Object(node.0)),
    }))
}

/// A call that was throttled did nothing: the same comes again later, under the same number.
pub(super) fn later(failure: Failure) -> Failure {
    match failure {
        Failure::Throttled { code, message } => {
            Failure::NotSent(format!("not taken yet: {code} {message}"))
        }
        other => other,
    }
}

fn signed(reply: Reply) -> Result<Node, Failure> {
    outcome::signed(reply).map_err(later)
}

/// The time of a refund, which alone may have thousandths: `2015-04-28 15:45:57.320`.
pub(super) fn time(text: &str) -> Option<Millis> {
    Millis::from_alipay(text.split_once('.').map_or(text, |(seconds, _)| seconds))
}

fn is_of(node: &Node, plan: &RefundCall<'_>) -> bool {
    node.text("trade_no") == Some(&*plan.payment.transaction_id.0)
}

fn fen(node: &Node, name: &str) -> Option<Fen> {
    node.text(name).and_then(Fen::from_yuan).filter(|it| it.fen() > 0)
}

/// A signed answer other than success.
fn refusal(node: &Node) -> Failure {
    let (code, message) = node.said();
    if node.is_throttled() {
        return later(Failure::Throttled { code, message });
    }
    let is_early =
        node.code() == REFUSED && (LATER.contains(&node.sub_code()) || asks_to_wait(&message));
    let is_known = match node.code() {
        REFUSED => !["", "SYSTEM_ERROR"].contains(&node.sub_code()),
        other => NOT_EXECUTED.contains(&other),
    };
    match (is_known, is_early) {
        (true, true) => Failure::NotSent(format!("not taken yet: {code} {message}")),
        (true, false) => Failure::Refused { code, message },
        (false, _) => Failure::OutcomeUnknown {
            reason: format!("alipay answered {code}"),
            said: Some((code, message)),
        },
    }
}

/// `sub_code`s that ask for the same refund later (alipay.trade.refund, error codes).
const LATER: [&str; 1] = ["REFUND_CHARGE_ERROR"];

/// `refund_reason` (alipay.trade.refund, request parameters): 256 characters; bytes are fewer.
const REASON_BYTES_MAX: usize = 256;
