//! Simulated Alipay: refunds.

use serde_json::{Value, json};

use super::gateway::{Gateway, Refusal};
use super::validate;
use crate::domain::money::Fen;
use crate::domain::order::refund::RefundState;
use crate::domain::time::{Millis, SECOND_MS};
use crate::mock::world::Providers;
use crate::mock::world::ledger::{Order, Payment, State};
use crate::mock::world::refund;
use crate::mock::world::refund::{Asked, Refund};

/// How far apart the refunds of a trade are (alipay.trade.refund, notes).
const INTERVAL_MS: i64 = 3 * SECOND_MS;

/// Sends money back; the same number again is the same refund.
pub(in crate::mock) fn refund(
    providers: &Providers,
    gateway: &Gateway,
    content: &Value,
) -> Result<Value, Refusal> {
    let named = super::named(providers, gateway, content)?;
    let asked = asked(content, &named)?;
    let no = asked.out_refund_no.clone();
    let now = providers.now();
    let mut has_moved = false;
    let order = providers.change(&super::at(&named.merchant), &named.out_trade_no, |existing| {
        let mut order = existing.ok_or_else(super::not_found)?;
        let payment = paid(&mut order)?;
        let known = payment.refunds.iter_mut().find(|it| it.out_refund_no == no && is_there(it));
        if let Some(known) = known {
            if known.amount != asked.amount {
                let code = "ACQ.DISCORDANT_REPEAT_REQUEST";
                return Err(Refusal::business(code, "重复请求的信息不一致"));
            }
            known.calls = known.calls.saturating_add(1);
            return Ok(order);
        }
        check(payment, asked.amount, now)?;
        // One that failed may be sent again under its number.
        payment.refunds.retain(|it| it.out_refund_no != no);
        let taken = refund::taken(providers, &order, asked, now);
        has_moved = taken.state == RefundState::Success;
        order.payments[0].refunds.push(taken);
        Ok(order)
    })?;
    providers.wake();
    let payment = order.payments.first().ok_or_else(super::not_found)?;
    let refund = payment.refund(&no).ok_or_else(super::not_found)?;
    Ok(told(&order, payment, (refund, has_moved)))
}

/// Tells of a refund. Without one, or of one that failed, it tells nothing.
pub(in crate::mock) fn query(
    providers: &Providers,
    gateway: &Gateway,
    content: &Value,
) -> Result<Value, Refusal> {
    let order = super::named(providers, gateway, content)?;
    let no = validate::text(content, "out_request_no", 64)?;
    let no = no.ok_or_else(|| validate::invalid("out_request_no"))?;
    let payment = order.payments.first();
    let refund = payment.and_then(|it| it.refund(no)).filter(|it| is_there(it));
    let (Some(payment), Some(refund)) = (payment, refund) else { return Ok(json!({})) };
    let is_done = refund.state == RefundState::Success;
    let mut told = json!({
        "trade_no": payment.transaction_id,
        "out_trade_no": order.out_trade_no,
        "out_request_no": refund.out_refund_no,
        "total_amount": payment.amount.to_yuan(),
        "refund_amount": refund.amount.to_yuan(),
        "refund_status": if is_done { "REFUND_SUCCESS" } else { "REFUND_PROCESSING" },
    });
    if is_done {
        told["send_back_fee"] = json!(refund.amount.to_yuan());
    }
    let wants = |option: &str| {
        let options = content.get("query_options").and_then(Value::as_array);
        options.is_some_and(|it| it.iter().any(|it| it.as_str() == Some(option)))
    };
    if let Some(at) = refund.refunded_at.filter(|_| wants("gmt_refund_pay")) {
        told["gmt_refund_pay"] = json!(at.to_alipay());
    }
    if is_done && wants("refund_detail_item_list") {
        told["refund_detail_item_list"] = detail(refund);
    }
    Ok(told)
}

/// What is asked of the trade `order`. Without `out_request_no` all of it goes back, under the
/// trade's own number (alipay.trade.refund, `out_request_no`).
fn asked(content: &Value, order: &Order) -> Result<Asked, Refusal> {
    let yuan = match content.get("refund_amount") {
        Some(Value::String(yuan)) => Fen::from_yuan(yuan),
        Some(Value::Number(yuan)) => Fen::from_yuan(&yuan.to_string()),
        _ => None,
    };
    let amount = yuan.filter(|it| it.fen() > 0);
    let amount = amount.ok_or_else(|| validate::invalid("refund_amount"))?;
    let no = validate::text(content, "out_request_no", 64)?;
    let is_whole = order.payments.first().is_some_and(|it| it.amount == amount);
    if no.is_none() && !is_whole && order.state == State::Paid {
        return Err(validate::invalid("out_request_no"));
    }
    Ok(Asked {
        out_refund_no: no.unwrap_or(&order.out_trade_no).to_owned(),
        amount,
        reason: validate::text(content, "refund_reason", 256)?.map(str::to_owned),
        notify_url: None,
        from_console: false,
    })
}

fn paid(order: &mut Order) -> Result<&mut Payment, Refusal> {
    match order.state {
        State::Closed => Err(closed()),
        _ => order
            .payments
            .first_mut()
            .ok_or_else(|| Refusal::business("ACQ.TRADE_STATUS_ERROR", "交易状态不合法")),
    }
}

/// Whether `amount` of `payment` may go back by a new refund (alipay.trade.refund, error codes).
fn check(payment: &Payment, amount: Fen, now: Millis) -> Result<(), Refusal> {
    if payment.is_returned() {
        return Err(closed());
    }
    if amount.fen() > payment.left() {
        return Err(Refusal::business("ACQ.REASON_TRADE_REFUND_FEE_ERR", "退款金额无效"));
    }
    if payment.last_refund().is_some_and(|it| now.since(it) < INTERVAL_MS) {
        return Err(too_soon());
    }
    Ok(())
}

/// Whether Alipay knows of it: one that failed is none.
fn is_there(refund: &Refund) -> bool {
    matches!(refund.state, RefundState::Processing | RefundState::Success)
}

/// `refund_fee` is what went back of the trade so far, in all; `fund_change` is `Y` when money
/// moved by this very call (alipay.trade.refund, "how to tell a success").
fn told(order: &Order, payment: &Payment, (refund, has_moved): (&Refund, bool)) -> Value {
    let fen = Fen::new(payment.returned()).unwrap_or(payment.amount);
    let mut told = json!({
        "trade_no": payment.transaction_id,
        "out_trade_no": order.out_trade_no,
        "buyer_logon_id": "moc***@example.com",
        (validate::buyer_field(&payment.payer)): payment.payer,
        "fund_change": if has_moved { "Y" } else { "N" },
        "refund_fee": fen.to_yuan(),
    });
    if let Some(at) = refund.refunded_at {
        told["gmt_refund_pay"] = json!(at.to_alipay());
        told["send_back_fee"] = json!(refund.amount.to_yuan());
        told["refund_detail_item_list"] = detail(refund);
    }
    told
}

fn detail(refund: &Refund) -> Value {
    json!([{ "amount": refund.amount.to_yuan(), "fund_channel": "ALIPAYACCOUNT" }])
}

/// The seller's account has not enough.
pub(in crate::mock) fn not_enough() -> Refusal {
    Refusal::business("ACQ.SELLER_BALANCE_NOT_ENOUGH", "卖家余额不足")
}

/// The last refund was not long enough ago.
pub(in crate::mock) fn too_soon() -> Refusal {
    Refusal::business("ACQ.REFUND_CHARGE_ERROR", "退款间隔过短，请稍后再试")
}

fn closed() -> Refusal {
    Refusal::business("ACQ.TRADE_HAS_CLOSE", "交易已经关闭")
}
