//! Simulated Alipay: refunds.

use serde_json::{Value, json};

use super::request::{AlipayApiError, AlipayRequest};
use super::trade::{account, find_trade, not_found};
use super::validate;
use crate::domain::money::Fen;
use crate::domain::order::refund::RefundState;
use crate::domain::time::{Millis, SECOND_MS};
use crate::mock::provider::{RefundConditions, RefundPlan, RequestedRefund, SimulatedProvider};
use crate::mock::refunding;
use crate::mock::world::World;
use crate::mock::world::order::{SimulatedOrder, State};
use crate::mock::world::payment::SimulatedPayment;
use crate::mock::world::refund::SimulatedRefund;

/// How far apart the refunds of a trade are (alipay.trade.refund, notes).
const INTERVAL_MS: i64 = 3 * SECOND_MS;

/// Refunds a payment, in part or in full; a repeated number is the same refund.
pub(super) fn refund(
    world: &World,
    provider: &dyn SimulatedProvider,
    request: &AlipayRequest,
    content: &Value,
) -> Result<Value, AlipayApiError> {
    let named = find_trade(world, request, content)?;
    let now = world.now();
    let requested = requested_refund(content, &named, now)?;
    let number = requested.out_refund_no.clone();
    let mut has_moved = false;
    let order = world.change(&account(&named.merchant), &named.out_trade_no, |existing| {
        let mut order = existing.ok_or_else(not_found)?;
        let payment = payment_of(&mut order)?;
        let mut refunds = payment.refunds.iter_mut().filter(|refund| is_known(refund));
        if let Some(known) = refunds.find(|refund| refund.out_refund_no == number) {
            if known.amount != requested.amount {
                let code = "ACQ.DISCORDANT_REPEAT_REQUEST";
                return Err(AlipayApiError::business(code, "重复请求的信息不一致"));
            }
            known.calls = known.calls.saturating_add(1);
            return Ok(order);
        }
        check(payment, requested.amount, now)?;
        // A merchant may repeat a failed refund under its number.
        payment.refunds.retain(|refund| refund.out_refund_no != number);
        let refund = refunding::new_refund(world, provider, &order, requested);
        has_moved = refund.state == RefundState::Success;
        order.payments[0].refunds.push(refund);
        Ok(order)
    })?;
    world.wake_delivery();
    let payment = order.payments.first().ok_or_else(not_found)?;
    let refund = payment.refund(&number).ok_or_else(not_found)?;
    let mut response = refund_response(&order, payment, refund);
    response["fund_change"] = json!(if has_moved { "Y" } else { "N" });
    Ok(response)
}

/// Answers with the state of a refund. A failed refund is as unknown as none.
pub(super) fn query(
    world: &World,
    request: &AlipayRequest,
    content: &Value,
) -> Result<Value, AlipayApiError> {
    let order = find_trade(world, request, content)?;
    let number = validate::text(content, "out_request_no", 64)?;
    let number = number.ok_or_else(|| validate::invalid("out_request_no"))?;
    let payment = order.payments.first();
    let refund = payment.and_then(|payment| payment.refund(number));
    let refund = refund.filter(|refund| is_known(refund));
    let (Some(payment), Some(refund)) = (payment, refund) else { return Ok(json!({})) };
    let is_done = refund.state == RefundState::Success;
    let mut response = json!({
        "trade_no": payment.transaction_id,
        "out_trade_no": order.out_trade_no,
        "out_request_no": refund.out_refund_no,
        "total_amount": payment.amount.to_yuan(),
        "refund_amount": refund.amount.to_yuan(),
        "refund_status": if is_done { "REFUND_SUCCESS" } else { "REFUND_PROCESSING" },
    });
    if is_done {
        response["send_back_fee"] = json!(refund.amount.to_yuan());
    }
    let wants = |option: &str| {
        let options = content.get("query_options").and_then(Value::as_array);
        options.is_some_and(|all| all.iter().any(|each| each.as_str() == Some(option)))
    };
    if let Some(at) = refund.refunded_at.filter(|_| wants("gmt_refund_pay")) {
        response["gmt_refund_pay"] = json!(at.to_alipay());
    }
    if is_done && wants("refund_detail_item_list") {
        response["refund_detail_item_list"] = detail(refund);
    }
    Ok(response)
}

/// Alipay takes no time for a refund, does not number it, and notifies of a successful one where
/// it notified of the payment.
pub(super) fn plan(order: &SimulatedOrder, conditions: RefundConditions) -> RefundPlan {
    let is_success = conditions.final_state == RefundState::Success;
    let is_notified = conditions.settings.alipay_notifies && is_success;
    let notify_url = order.notify_url().filter(|_| is_notified);
    RefundPlan { takes_ms: 0, refund_id: None, notify_url }
}

/// The refund that the merchant requests of the trade `order`. Without `out_request_no` it is a
/// full refund under the trade's own number (alipay.trade.refund, `out_request_no`).
fn requested_refund(
    content: &Value,
    order: &SimulatedOrder,
    now: Millis,
) -> Result<RequestedRefund, AlipayApiError> {
    let yuan = match content.get("refund_amount") {
        Some(Value::String(yuan)) => Fen::from_yuan(yuan),
        Some(Value::Number(yuan)) => Fen::from_yuan(&yuan.to_string()),
        _ => None,
    };
    let amount = yuan.filter(|amount| amount.fen() > 0);
    let amount = amount.ok_or_else(|| validate::invalid("refund_amount"))?;
    let number = validate::text(content, "out_request_no", 64)?;
    let is_whole = order.payments.first().is_some_and(|payment| payment.amount == amount);
    if number.is_none() && !is_whole && order.state == State::Paid {
        return Err(validate::invalid("out_request_no"));
    }
    Ok(RequestedRefund {
        out_refund_no: number.unwrap_or(&order.out_trade_no).to_owned(),
        amount,
        reason: validate::text(content, "refund_reason", 256)?.map(str::to_owned),
        notify_url: None,
        from_console: false,
        requested_at: now,
    })
}

fn payment_of(order: &mut SimulatedOrder) -> Result<&mut SimulatedPayment, AlipayApiError> {
    match order.state {
        State::Closed => Err(closed()),
        _ => order
            .payments
            .first_mut()
            .ok_or_else(|| AlipayApiError::business("ACQ.TRADE_STATUS_ERROR", "交易状态不合法")),
    }
}

/// Checks a new refund of `amount` (alipay.trade.refund, error codes).
fn check(payment: &SimulatedPayment, amount: Fen, now: Millis) -> Result<(), AlipayApiError> {
    if payment.is_fully_refunded() {
        return Err(closed());
    }
    if amount.fen() > payment.refundable_fen() {
        return Err(AlipayApiError::business("ACQ.REASON_TRADE_REFUND_FEE_ERR", "退款金额无效"));
    }
    if payment.last_refund_at().is_some_and(|last| now.since(last) < INTERVAL_MS) {
        return Err(too_soon());
    }
    Ok(())
}

/// Whether Alipay reports the refund: a failed one it does not.
fn is_known(refund: &SimulatedRefund) -> bool {
    matches!(refund.state, RefundState::Processing | RefundState::Success)
}

/// `refund_fee` is the total of the trade's refunds so far; the caller adds `fund_change`, which is
/// `Y` when this very call moved money (alipay.trade.refund, on recognising a success).
fn refund_response(
    order: &SimulatedOrder,
    payment: &SimulatedPayment,
    refund: &SimulatedRefund,
) -> Value {
    let fen = Fen::new(payment.refunded_fen()).unwrap_or(payment.amount);
    let mut response = json!({
        "trade_no": payment.transaction_id,
        "out_trade_no": order.out_trade_no,
        "buyer_logon_id": "moc***@example.com",
        (validate::buyer_field(&payment.payer)): payment.payer,
        "refund_fee": fen.to_yuan(),
    });
    if let Some(at) = refund.refunded_at {
        response["gmt_refund_pay"] = json!(at.to_alipay());
        response["send_back_fee"] = json!(refund.amount.to_yuan());
        response["refund_detail_item_list"] = detail(refund);
    }
    response
}

fn detail(refund: &SimulatedRefund) -> Value {
    json!([{ "amount": refund.amount.to_yuan(), "fund_channel": "ALIPAYACCOUNT" }])
}

/// The seller's account has not enough money for the refund.
pub(super) fn not_enough() -> AlipayApiError {
    AlipayApiError::business("ACQ.SELLER_BALANCE_NOT_ENOUGH", "卖家余额不足")
}

/// The last refund of the trade was too short a time ago.
pub(super) fn too_soon() -> AlipayApiError {
    AlipayApiError::business("ACQ.REFUND_CHARGE_ERROR", "退款间隔过短，请稍后再试")
}

fn closed() -> AlipayApiError {
    AlipayApiError::business("ACQ.TRADE_HAS_CLOSE", "交易已经关闭")
}
