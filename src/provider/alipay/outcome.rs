//! What a reply means: for opening, asking and closing a trade.
//!
//! Only what Alipay signed decides anything. An unsigned answer is told, never believed.

use std::sync::Arc;

use super::response::{Answer, Node, Reply, unknown};
use crate::domain::channel::Product;
use crate::domain::ids::TransactionId;
use crate::domain::money::Fen;
use crate::domain::order::attempt::{Attempt, Material};
use crate::domain::time::Millis;
use crate::provider::{CloseOutcome, Failure, PaidTrade, TradeState};

/// What became of opening `attempt`.
pub(crate) fn opened(reply: Reply, attempt: &Attempt) -> Result<Material, Failure> {
    let node = signed(reply)?;
    if node.code() == REFUSED && TAKEN.contains(&node.sub_code()) {
        let (code, message) = node.said();
        return Err(Failure::NumberInUse { code, message });
    }
    if node.code() != DONE {
        return Err(refusal(&node));
    }
    if node.text("out_trade_no") != Some(attempt.channel_no.as_str()) {
        return Err(unknown("the reply is about another order"));
    }
    let material = match attempt.method.product {
        Product::Precreate => node.text("qr_code").map(|code_url| Material::QrCode {
            code_url: code_url.to_owned(),
            msg: node.text("msg").map(str::to_owned),
        }),
        _ => node.text("trade_no").map(|it| Material::Trade { trade_no: it.to_owned() }),
    };
    material.ok_or_else(|| unknown("the reply holds nothing to pay with"))
}

/// What a query tells of `attempt`.
pub(crate) fn queried(answer: Answer, attempt: &Attempt) -> Result<TradeState, Failure> {
    let Answer { reply, date } = answer;
    let node = signed(reply)?;
    if node.code() == REFUSED && node.sub_code() == "TRADE_NOT_EXIST" {
        return Ok(TradeState::NotFound { date });
    }
    if node.code() != DONE {
        return Err(refusal(&node));
    }
    if node.text("out_trade_no") != Some(attempt.channel_no.as_str()) {
        return Err(unknown("the reply is about another order"));
    }
    match node.text("trade_status").unwrap_or_default() {
        state @ "WAIT_BUYER_PAY" => Ok(TradeState::Unpaid { trade_state: state.to_owned() }),
        // Both mean paid: a finished trade can no longer be refunded (alipay.trade.query,
        // trade_status).
        "TRADE_SUCCESS" | "TRADE_FINISHED" => paid(node).map(TradeState::Paid),
        "TRADE_CLOSED" if was_paid(&node) => paid(node).map(TradeState::Paid),
        "TRADE_CLOSED" => Ok(TradeState::Closed),
        _ => Err(unknown("the trade is in a state that is not known here")),
    }
}

/// What became of closing `attempt`.
pub(crate) fn closed(reply: Reply, attempt: &Attempt) -> Result<CloseOutcome, Failure> {
    let node = signed(reply)?;
    match (node.code(), node.sub_code()) {
        (DONE, _) => match node.text("out_trade_no") {
            Some(no) if no != attempt.channel_no.as_str() => {
                Err(unknown("the reply is about another order"))
            }
            _ => Ok(CloseOutcome::Closed),
        },
        (REFUSED, "TRADE_NOT_EXIST") => Ok(CloseOutcome::NotFound),
        // It does not wait for its buyer: most likely it was paid. Whoever closes asks then.
        (REFUSED, code) if NOT_WAITING.contains(&code) => Ok(CloseOutcome::Paid),
        _ => Err(refusal(&node)),
    }
}

pub(super) fn signed(reply: Reply) -> Result<Node, Failure> {
    match reply {
        Reply::Signed(node) => Ok(node),
        // Believed without a signature: the attempt's outcome stays unknown to the engine.
        Reply::Unsigned(node) if node.is_throttled() => Err(throttled(&node)),
        Reply::Unsigned(node) => Err(Failure::OutcomeUnknown {
            reason: "the answer is not signed".to_owned(),
            said: Some(node.said()),
        }),
    }
}

fn throttled(node: &Node) -> Failure {
    let (code, message) = node.said();
    Failure::Throttled { code, message }
}

/// A signed answer other than success: final, except where it says that the outcome is unknown
/// or tells of a trade, as it can of no query or close.
fn refusal(node: &Node) -> Failure {
    if node.is_throttled() {
        return throttled(node);
    }
    let (code, message) = node.said();
    let is_final = match node.code() {
        REFUSED => {
            !["", "SYSTEM_ERROR"].contains(&node.sub_code()) && !TAKEN.contains(&node.sub_code())
        }
        other => NOT_EXECUTED.contains(&other),
    };
    if is_final {
        return Failure::Refused { code, message };
    }
    Failure::OutcomeUnknown {
        reason: format!("alipay answered {code}"),
        said: Some((code, message)),
    }
}

/// A closed trade was never paid, or was paid and went back whole (alipay.trade.query,
/// trade_status): only the latter has a payment date or tells of a refund.
fn was_paid(node: &Node) -> bool {
    node.text("send_pay_date").is_some() || was_refunded(node)
}

fn was_refunded(node: &Node) -> bool {
    let amount = |name| node.text(name).and_then(Fen::from_yuan).is_some_and(|it| it.fen() > 0);
    node.text("gmt_refund_pay").is_some()
        || amount("refund_fee")
        || amount("send_back_fee")
        || node.0.get("refund_detail_item_list").is_some_and(|it| !it.is_null())
}

fn paid(node: Node) -> Result<PaidTrade, Failure> {
    let trade_no = node.text("trade_no").ok_or_else(|| unknown("a payment without trade_no"))?;
    let total_fee = node
        .text("total_amount")
        .and_then(Fen::from_yuan)
        .ok_or_else(|| unknown("a payment without a readable total_amount"))?;
    Ok(PaidTrade {
        transaction_id: TransactionId(trade_no.into()),
        total_fee,
        // A paid trade is closed when all of it went back.
        refunded: was_refunded(&node) || node.text("trade_status") == Some("TRADE_CLOSED"),
        // Only trades across borders name a currency (alipay.trade.query, trans_currency).
        matches_order: node.text("trans_currency").is_none_or(|it| it == "CNY"),
        paid_at: node.text("send_pay_date").and_then(Millis::from_alipay),
        openid: node.text("buyer_open_id").or(node.text("buyer_user_id")).map(str::to_owned),
        message: Arc::new(serde_json::Value::Object(node.0)),
    })
}

/// `code`: the call was carried out (common return codes).
pub(super) const DONE: &str = "10000";
/// `code`: a business failure; `sub_code` says which.
pub(super) const REFUSED: &str = "40004";

/// `code`s of calls that were not carried out: no authorisation (20001), missing (40001) or
/// invalid (40002) parameters, keys missing (40003), no permission (40006).
pub(super) const NOT_EXECUTED: [&str; 5] = ["20001", "40001", "40002", "40003", "40006"];

/// `sub_code`s that say that there is a trade under this number: paid, closed, another buyer's or
/// with other parameters (alipay.trade.create and alipay.trade.precreate, error codes).
const TAKEN: [&str; 6] = [
    "TRADE_HAS_SUCCESS",
    "TRADE_HAS_FINISHED",
    "TRADE_HAS_CLOSE",
    "CONTEXT_INCONSISTENT",
    "TRADE_BUYER_NOT_MATCH",
    "APPLY_PC_MERCHANT_CODE_ERROR",
];

/// `sub_code`s of a close: the trade does not wait for its buyer (alipay.trade.close, error codes).
const NOT_WAITING: [&str; 6] = [
    "REASON_TRADE_STATUS_INVALID",
    "REASON_ILLEGAL_STATUS",
    "TRADE_STATUS_ERROR",
    "TRADE_HAS_SUCCESS",
    "TRADE_HAS_FINISHED",
    "TRADE_HAS_CLOSE",
];
