//! Parses the replies to opening, querying and closing a trade.
//!
//! Only a signed reply decides anything. An unsigned one is reported to the client, never trusted.

use std::sync::Arc;

use super::response::{
    CODE_BUSINESS_FAILED, CODE_SUCCESS, CODES_NOT_EXECUTED, GatewayReply, GatewayResponse,
    ReplyObject,
};
use crate::domain::ids::TransactionId;
use crate::domain::money::Fen;
use crate::domain::order::attempt::{Attempt, Material};
use crate::domain::product::Product;
use crate::domain::time::Millis;
use crate::provider::{CloseOutcome, Failure, PaidTrade, TradeState};

/// Parses the reply to opening `attempt`.
pub(crate) fn parse_open_reply(
    reply: GatewayReply,
    attempt: &Attempt,
) -> Result<Material, Failure> {
    let object = require_signed(reply)?;
    if object.code() == CODE_BUSINESS_FAILED && NUMBER_IN_USE.contains(&object.sub_code()) {
        let (code, message) = object.provider_error();
        return Err(Failure::NumberInUse { code, message });
    }
    if object.code() != CODE_SUCCESS {
        return Err(failure_of(&object));
    }
    if object.text("out_trade_no") != Some(attempt.channel_no.as_str()) {
        return Err(Failure::unknown("the reply is about another order"));
    }
    let material = match attempt.method.product {
        Product::Precreate => object.text("qr_code").map(|code_url| Material::QrCode {
            code_url: code_url.to_owned(),
            msg: object.text("msg").map(str::to_owned),
        }),
        _ => object
            .text("trade_no")
            .map(|trade_no| Material::Trade { trade_no: trade_no.to_owned() }),
    };
    material.ok_or_else(|| Failure::unknown("the reply holds nothing to pay with"))
}

/// The state of `attempt` by the reply to a query.
pub(crate) fn parse_query_reply(
    answer: GatewayResponse,
    attempt: &Attempt,
) -> Result<TradeState, Failure> {
    let GatewayResponse { reply, date } = answer;
    let object = require_signed(reply)?;
    if object.code() == CODE_BUSINESS_FAILED && object.sub_code() == "TRADE_NOT_EXIST" {
        return Ok(TradeState::NotFound { date });
    }
    if object.code() != CODE_SUCCESS {
        return Err(failure_of(&object));
    }
    if object.text("out_trade_no") != Some(attempt.channel_no.as_str()) {
        return Err(Failure::unknown("the reply is about another order"));
    }
    match object.text("trade_status").unwrap_or_default() {
        state @ "WAIT_BUYER_PAY" => Ok(TradeState::Unpaid { trade_state: state.to_owned() }),
        // Both mean paid: a finished trade can no longer be refunded (alipay.trade.query,
        // trade_status).
        "TRADE_SUCCESS" | "TRADE_FINISHED" => parse_paid(object).map(TradeState::Paid),
        "TRADE_CLOSED" if was_paid(&object) => parse_paid(object).map(TradeState::Paid),
        "TRADE_CLOSED" => Ok(TradeState::Closed),
        _ => Err(Failure::unknown("the trade is in a state that is not known here")),
    }
}

/// Parses the reply to closing `attempt`.
pub(crate) fn parse_close_reply(
    reply: GatewayReply,
    attempt: &Attempt,
) -> Result<CloseOutcome, Failure> {
    let object = require_signed(reply)?;
    match (object.code(), object.sub_code()) {
        (CODE_SUCCESS, _) => match object.text("out_trade_no") {
            Some(no) if no != attempt.channel_no.as_str() => {
                Err(Failure::unknown("the reply is about another order"))
            }
            _ => Ok(CloseOutcome::Closed),
        },
        (CODE_BUSINESS_FAILED, "TRADE_NOT_EXIST") => Ok(CloseOutcome::NotFound),
        // The trade does not wait for its buyer: most likely it was paid. The engine queries it.
        (CODE_BUSINESS_FAILED, code) if NOT_WAITING.contains(&code) => Ok(CloseOutcome::Paid),
        _ => Err(failure_of(&object)),
    }
}

pub(super) fn require_signed(reply: GatewayReply) -> Result<ReplyObject, Failure> {
    match reply {
        GatewayReply::Signed(object) => Ok(object),
        // Trusted without a signature: the attempt's outcome stays unknown to the engine.
        GatewayReply::Unsigned(object) if object.is_throttled() => Err(throttled(&object)),
        GatewayReply::Unsigned(object) => Err(Failure::OutcomeUnknown {
            reason: "the answer is not signed".to_owned(),
            provider_error: Some(object.provider_error()),
        }),
    }
}

fn throttled(object: &ReplyObject) -> Failure {
    let (code, message) = object.provider_error();
    Failure::Throttled { code, message }
}

/// The failure for a signed reply other than success: final, except where Alipay reports that the
/// outcome is unknown, or that the number is in use, as it does for no query or close.
fn failure_of(object: &ReplyObject) -> Failure {
    if object.is_throttled() {
        return throttled(object);
    }
    let (code, message) = object.provider_error();
    let is_final = match object.code() {
        CODE_BUSINESS_FAILED => {
            !["", "SYSTEM_ERROR"].contains(&object.sub_code())
                && !NUMBER_IN_USE.contains(&object.sub_code())
        }
        other => CODES_NOT_EXECUTED.contains(&other),
    };
    if is_final {
        return Failure::Refused { code, message };
    }
    Failure::OutcomeUnknown {
        reason: format!("alipay answered {code}"),
        provider_error: Some((code, message)),
    }
}

/// Whether a closed trade was paid. It was never paid, or was paid and refunded in full
/// (alipay.trade.query, trade_status): only the latter has a payment date or a refund.
fn was_paid(object: &ReplyObject) -> bool {
    object.text("send_pay_date").is_some() || was_refunded(object)
}

fn was_refunded(object: &ReplyObject) -> bool {
    let amount = |name| object.text(name).and_then(Fen::from_yuan).is_some_and(|fee| fee.fen() > 0);
    object.text("gmt_refund_pay").is_some()
        || amount("refund_fee")
        || amount("send_back_fee")
        || object.0.get("refund_detail_item_list").is_some_and(|list| !list.is_null())
}

fn parse_paid(object: ReplyObject) -> Result<PaidTrade, Failure> {
    let trade_no =
        object.text("trade_no").ok_or_else(|| Failure::unknown("a payment without trade_no"))?;
    let total_fee = object
        .text("total_amount")
        .and_then(Fen::from_yuan)
        .ok_or_else(|| Failure::unknown("a payment without a readable total_amount"))?;
    Ok(PaidTrade {
        transaction_id: TransactionId(trade_no.into()),
        total_fee,
        // Alipay closes a paid trade when it is refunded in full.
        refunded: was_refunded(&object) || object.text("trade_status") == Some("TRADE_CLOSED"),
        // Only trades across borders name a currency (alipay.trade.query, trans_currency).
        matches_order: object.text("trans_currency").is_none_or(|currency| currency == "CNY"),
        paid_at: object.text("send_pay_date").and_then(Millis::from_alipay),
        openid: object.text("buyer_open_id").or(object.text("buyer_user_id")).map(str::to_owned),
        message: Arc::new(serde_json::Value::Object(object.0)),
    })
}

/// `sub_code`s that report a trade under this number: paid, closed, another buyer's or with other
/// parameters (alipay.trade.create and alipay.trade.precreate, error codes).
const NUMBER_IN_USE: [&str; 6] = [
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
