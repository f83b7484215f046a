//! Simulated WeChat Pay V3: refunds, for merchants and for partners.

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};

use super::merchant;
use super::responses::WxpayApiError;
use super::validate;
use super::validate::text;
use crate::domain::money::Fen;
use crate::domain::order::refund::RefundState;
use crate::domain::time::{DAY_MS, MINUTE_MS, Millis};
use crate::mock::page;
use crate::mock::provider::{RefundConditions, RefundPlan, RequestedRefund, SimulatedProvider};
use crate::mock::refunding;
use crate::mock::world::World;
use crate::mock::world::numbers;
use crate::mock::world::order::{MerchantAccount, SimulatedOrder};
use crate::mock::world::payment::SimulatedPayment;
use crate::mock::world::refund::SimulatedRefund;

/// How long after the payment a merchant can refund it (V3, "refund request": one year).
const AGE_MS_MAX: i64 = 365 * DAY_MS;
/// How many refunds a payment has at most (V3, "refund request").
const REFUNDS_MAX: usize = 50;
/// How far apart the refunds of a payment are (V3, "refund request").
const INTERVAL_MS: i64 = MINUTE_MS;

/// Refunds a payment, in part or in full; a repeated number is the same refund.
pub(super) fn refund(
    world: &World,
    provider: &dyn SimulatedProvider,
    body: &Bytes,
) -> Result<Option<Value>, WxpayApiError> {
    let body: Value = serde_json::from_slice(body)
        .map_err(|_| WxpayApiError::parameter("", &Value::Null, "must be JSON"))?;
    validate::check_refund(&body)?;
    let merchant = merchant::of_sub(text(&body, "/sub_mchid"));
    let account = merchant::account(&merchant);
    let named = find_order(world, &account, &body)?;
    let now = world.now();
    let requested = requested_refund(&body, now);
    let number = requested.out_refund_no.clone();
    let other = world.find_by_refund(&account, &number);
    if other.is_some_and(|order| order.out_trade_no != named.out_trade_no) {
        return Err(inconsistent());
    }
    let total = fen(&body, "/amount/total");
    let order = world.change(&account, &named.out_trade_no, |existing| {
        let mut order = existing.ok_or_else(unpaid)?;
        let payment = order.payments.first_mut().ok_or_else(unpaid)?;
        if total != payment.amount {
            return Err(invalid("订单总金额与支付金额不一致"));
        }
        let mut refunds = payment.refunds.iter_mut();
        if let Some(known) = refunds.find(|refund| refund.out_refund_no == number) {
            if known.amount != requested.amount {
                return Err(inconsistent());
            }
            known.calls = known.calls.saturating_add(1);
            return Ok(order);
        }
        check(payment, requested.amount, now)?;
        let refund = refunding::new_refund(world, provider, &order, requested);
        order.payments[0].refunds.push(refund);
        Ok(order)
    })?;
    world.wake_delivery();
    let payment = order.payments.first().ok_or_else(unpaid)?;
    Ok(payment.refund(&number).map(|refund| refund_response(&order, payment, refund)))
}

/// Answers with the state of a refund.
pub(super) fn query(
    world: &World,
    request: &Request<Bytes>,
    number: &str,
) -> Result<Option<Value>, WxpayApiError> {
    let merchant = merchant::of_sub(page::parameter(request, "sub_mchid").as_deref());
    let order = world.find_by_refund(&merchant::account(&merchant), number);
    let order = order.ok_or_else(not_found)?;
    let payment = order.payments.first().ok_or_else(not_found)?;
    let refund = payment.refund(number).ok_or_else(not_found)?;
    Ok(Some(refund_response(&order, payment, refund)))
}

/// The paid order that `transaction_id` or `out_trade_no` names.
fn find_order(
    world: &World,
    merchant: &MerchantAccount<'_>,
    body: &Value,
) -> Result<SimulatedOrder, WxpayApiError> {
    let found = match (text(body, "/transaction_id"), text(body, "/out_trade_no")) {
        (Some(id), None) => world.find_by_transaction(merchant, id),
        (None, Some(number)) => world.find(merchant, number),
        _ => {
            let issue = "is required, or out_trade_no is, not both";
            return Err(WxpayApiError::parameter("/transaction_id", &Value::Null, issue));
        }
    };
    found.filter(|order| !order.payments.is_empty()).ok_or_else(unpaid)
}

/// WeChat Pay takes time for a refund, numbers it, and notifies where the request demands.
pub(super) fn plan(request: &RequestedRefund, conditions: RefundConditions) -> RefundPlan {
    RefundPlan {
        takes_ms: conditions.settings.takes_ms,
        refund_id: Some(numbers::refund_id(request.requested_at)),
        notify_url: request.notify_url.clone(),
    }
}

fn requested_refund(body: &Value, now: Millis) -> RequestedRefund {
    let owned = |pointer| text(body, pointer).map(str::to_owned);
    RequestedRefund {
        out_refund_no: owned("/out_refund_no").unwrap_or_default(),
        amount: fen(body, "/amount/refund"),
        reason: owned("/reason"),
        notify_url: owned("/notify_url"),
        from_console: false,
        requested_at: now,
    }
}

fn fen(body: &Value, pointer: &str) -> Fen {
    let fen = body.pointer(pointer).and_then(Value::as_u64);
    fen.and_then(Fen::new).expect("the amounts were checked")
}

/// Checks a new refund of `amount` (V3, "refund request", notes).
fn check(payment: &SimulatedPayment, amount: Fen, now: Millis) -> Result<(), WxpayApiError> {
    if now.since(payment.paid_at) > AGE_MS_MAX {
        return Err(invalid("订单已超过退款的最大期限"));
    }
    if amount.fen() > payment.refundable_fen() {
        return Err(invalid("累计退款金额大于支付金额"));
    }
    if payment.refunds.len() >= REFUNDS_MAX {
        return Err(invalid("部分退款次数超过限制"));
    }
    if payment.last_refund_at().is_some_and(|last| now.since(last) < INTERVAL_MS) {
        return Err(too_soon());
    }
    Ok(())
}

/// A refund in a response.
fn refund_response(
    order: &SimulatedOrder,
    payment: &SimulatedPayment,
    refund: &SimulatedRefund,
) -> Value {
    let (total, refunded) = (payment.amount, refund.amount);
    let mut response = json!({
        "refund_id": refund.refund_id,
        "out_refund_no": refund.out_refund_no,
        "transaction_id": payment.transaction_id,
        "out_trade_no": order.out_trade_no,
        "channel": "ORIGINAL",
        "user_received_account": ACCOUNT,
        "create_time": refund.requested_at.to_rfc3339_beijing(),
        "status": refund.state.name(),
        "funds_account": "AVAILABLE",
        "amount": {
            "total": total, "refund": refunded, "payer_total": total, "payer_refund": refunded,
            "settlement_total": total, "settlement_refund": refunded, "discount_refund": 0,
            "currency": "CNY", "from": [],
        },
        "promotion_detail": [],
    });
    if let Some(at) = refund.refunded_at {
        response["success_time"] = json!(at.to_rfc3339_beijing());
    }
    response
}

/// The end of a refund in a notification (V3, "refund result notification"): `refund_status`,
/// where responses have `status`.
pub(super) fn notification_resource(
    order: &SimulatedOrder,
    payment: &SimulatedPayment,
    refund: &SimulatedRefund,
) -> Value {
    let (total, refunded) = (payment.amount, refund.amount);
    let mut resource = json!({
        "out_trade_no": order.out_trade_no,
        "transaction_id": payment.transaction_id,
        "out_refund_no": refund.out_refund_no,
        "refund_id": refund.refund_id,
        "refund_status": refund.state.name(),
        "user_received_account": ACCOUNT,
        "amount": {
            "total": total, "refund": refunded, "payer_total": total, "payer_refund": refunded,
        },
    });
    match order.merchant.split_once('/') {
        None => resource["mchid"] = json!(order.merchant),
        Some((partner, sub)) => {
            resource["sp_mchid"] = json!(partner);
            resource["sub_mchid"] = json!(sub);
        }
    }
    if let Some(at) = refund.refunded_at {
        resource["success_time"] = json!(at.to_rfc3339_beijing());
    }
    resource
}

/// The event type and its summary (V3, "refund result notification").
pub(super) fn event(state: RefundState) -> (&'static str, &'static str) {
    match state {
        RefundState::Abnormal => ("REFUND.ABNORMAL", "退款异常"),
        RefundState::Closed => ("REFUND.CLOSED", "退款关闭"),
        RefundState::Processing | RefundState::Success => ("REFUND.SUCCESS", "退款成功"),
    }
}

/// The account that receives the refund.
const ACCOUNT: &str = "支付用户零钱";

/// The merchant's account has not enough money for the refund.
pub(super) fn not_enough() -> WxpayApiError {
    WxpayApiError::new(403, "NOT_ENOUGH", "基本账户余额不足，请充值后重新发起")
}

/// The last refund of the payment was too short a time ago.
pub(super) fn too_soon() -> WxpayApiError {
    WxpayApiError::new(429, "FREQUENCY_LIMITED", "2笔退款间隔少于1分钟，请稍后再试")
}

fn invalid(message: &str) -> WxpayApiError {
    WxpayApiError::new(400, "INVALID_REQUEST", message)
}

fn inconsistent() -> WxpayApiError {
    invalid("订单金额或退款金额与之前请求不一致，请核实后再试")
}

fn unpaid() -> WxpayApiError {
    WxpayApiError::new(404, "RESOURCE_NOT_EXISTS", "订单不存在或未支付")
}

fn not_found() -> WxpayApiError {
    WxpayApiError::new(404, "RESOURCE_NOT_EXISTS", "退款单不存在")
}
