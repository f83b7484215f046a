//! Simulated WeChat Pay V3: refunds, for merchants and for partners.

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::responses::Refusal;
use super::validate;
use super::validate::text;
use crate::domain::channel::ProviderId;
use crate::domain::money::Fen;
use crate::domain::order::refund::RefundState;
use crate::domain::time::{DAY_MS, MINUTE_MS, Millis};
use crate::mock::keys;
use crate::mock::world::Providers;
use crate::mock::world::ledger::{Merchant, Order, Payment};
use crate::mock::world::refund;
use crate::mock::world::refund::{Asked, Refund};

/// How long after it a payment can go back (V3, "refund request": one year).
const AGE_MS_MAX: i64 = 365 * DAY_MS;
/// How many refunds a payment has at most (V3, "refund request").
const REFUNDS_MAX: usize = 50;
/// How far apart the refunds of a payment are (V3, "refund request").
const INTERVAL_MS: i64 = MINUTE_MS;

/// Sends money back; the same number again is the same refund.
pub(in crate::mock) fn refund(
    providers: &Providers,
    body: &Bytes,
) -> Result<Option<Value>, Refusal> {
    let body: Value = serde_json::from_slice(body)
        .map_err(|_| Refusal::parameter("", &Value::Null, "must be JSON"))?;
    validate::check_refund(&body)?;
    let merchant = merchant_of(text(&body, "/sub_mchid"));
    let named = named(providers, &merchant, &body)?;
    let asked = asked(&body);
    let no = asked.out_refund_no.clone();
    let other = providers.find_by_refund(&at(&merchant), &no);
    if other.is_some_and(|it| it.out_trade_no != named.out_trade_no) {
        return Err(repeated());
    }
    let total = fen(&body, "/amount/total");
    let now = providers.now();
    let order = providers.change(&at(&merchant), &named.out_trade_no, |existing| {
        let mut order = existing.ok_or_else(unpaid)?;
        let payment = order.payments.first_mut().ok_or_else(unpaid)?;
        if total != payment.amount {
            return Err(invalid("订单总金额与支付金额不一致"));
        }
        if let Some(known) = payment.refunds.iter_mut().find(|it| it.out_refund_no == no) {
            if known.amount != asked.amount {
                return Err(repeated());
            }
            known.calls = known.calls.saturating_add(1);
            return Ok(order);
        }
        check(payment, asked.amount, now)?;
        let taken = refund::taken(providers, &order, asked, now);
        order.payments[0].refunds.push(taken);
        Ok(order)
    })?;
    providers.wake();
    let payment = order.payments.first().ok_or_else(unpaid)?;
    Ok(payment.refund(&no).map(|it| told(&order, payment, it)))
}

/// Tells of a refund.
pub(in crate::mock) fn query(
    providers: &Providers,
    request: &Request<Bytes>,
    no: &str,
) -> Result<Option<Value>, Refusal> {
    let query = request.uri().query().unwrap_or_default();
    let sub = form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "sub_mchid");
    let merchant = merchant_of(sub.as_ref().map(|(_, value)| value.as_ref()));
    let order = providers.find_by_refund(&at(&merchant), no).ok_or_else(not_found)?;
    let payment = order.payments.first().ok_or_else(not_found)?;
    Ok(Some(told(&order, payment, payment.refund(no).ok_or_else(not_found)?)))
}

/// The paid order that `transaction_id` or `out_trade_no` names.
fn named(providers: &Providers, merchant: &str, body: &Value) -> Result<Order, Refusal> {
    let merchant = at(merchant);
    let found = match (text(body, "/transaction_id"), text(body, "/out_trade_no")) {
        (Some(id), None) => providers.find_by_transaction(&merchant, id),
        (None, Some(no)) => providers.find(&merchant, no),
        _ => {
            let issue = "is required, or out_trade_no is, not both";
            return Err(Refusal::parameter("/transaction_id", &Value::Null, issue));
        }
    };
    found.filter(|it| !it.payments.is_empty()).ok_or_else(unpaid)
}

fn asked(body: &Value) -> Asked {
    let owned = |pointer| text(body, pointer).map(str::to_owned);
    Asked {
        out_refund_no: owned("/out_refund_no").unwrap_or_default(),
        amount: fen(body, "/amount/refund"),
        reason: owned("/reason"),
        notify_url: owned("/notify_url"),
        from_console: false,
    }
}

fn fen(body: &Value, pointer: &str) -> Fen {
    let fen = body.pointer(pointer).and_then(Value::as_u64);
    fen.and_then(Fen::new).expect("the amounts were checked")
}

/// Whether `amount` of `payment` may go back by a new refund (V3, "refund request", notes).
fn check(payment: &Payment, amount: Fen, now: Millis) -> Result<(), Refusal> {
    if now.since(payment.paid_at) > AGE_MS_MAX {
        return Err(invalid("订单已超过退款的最大期限"));
    }
    if amount.fen() > payment.left() {
        return Err(invalid("累计退款金额大于支付金额"));
    }
    if payment.refunds.len() >= REFUNDS_MAX {
        return Err(invalid("部分退款次数超过限制"));
    }
    if payment.last_refund().is_some_and(|it| now.since(it) < INTERVAL_MS) {
        return Err(too_soon());
    }
    Ok(())
}

/// A refund as answers tell it.
fn told(order: &Order, payment: &Payment, refund: &Refund) -> Value {
    let (paid, back) = (payment.amount, refund.amount);
    let mut told = json!({
        "refund_id": refund.refund_id,
        "out_refund_no": refund.out_refund_no,
        "transaction_id": payment.transaction_id,
        "out_trade_no": order.out_trade_no,
        "channel": "ORIGINAL",
        "user_received_account": ACCOUNT,
        "create_time": refund.asked.to_rfc3339_beijing(),
        "status": refund.state.name(),
        "funds_account": "AVAILABLE",
        "amount": {
            "total": paid, "refund": back, "payer_total": paid, "payer_refund": back,
            "settlement_total": paid, "settlement_refund": back, "discount_refund": 0,
            "currency": "CNY", "from": [],
        },
        "promotion_detail": [],
    });
    if let Some(at) = refund.refunded_at {
        told["success_time"] = json!(at.to_rfc3339_beijing());
    }
    told
}

/// A refund's end as a notification tells it (V3, "refund result notification"): `refund_status`,
/// where answers have `status`.
pub(in crate::mock) fn noticed(order: &Order, payment: &Payment, refund: &Refund) -> Value {
    let (paid, back) = (payment.amount, refund.amount);
    let mut told = json!({
        "out_trade_no": order.out_trade_no,
        "transaction_id": payment.transaction_id,
        "out_refund_no": refund.out_refund_no,
        "refund_id": refund.refund_id,
        "refund_status": refund.state.name(),
        "user_received_account": ACCOUNT,
        "amount": {
            "total": paid, "refund": back, "payer_total": paid, "payer_refund": back,
        },
    });
    match order.merchant.split_once('/') {
        None => told["mchid"] = json!(order.merchant),
        Some((partner, sub)) => {
            told["sp_mchid"] = json!(partner);
            told["sub_mchid"] = json!(sub);
        }
    }
    if let Some(at) = refund.refunded_at {
        told["success_time"] = json!(at.to_rfc3339_beijing());
    }
    told
}

/// The event and its summary (V3, "refund result notification").
pub(in crate::mock) fn event(state: RefundState) -> (&'static str, &'static str) {
    match state {
        RefundState::Abnormal => ("REFUND.ABNORMAL", "退款异常"),
        RefundState::Closed => ("REFUND.CLOSED", "退款关闭"),
        RefundState::Processing | RefundState::Success => ("REFUND.SUCCESS", "退款成功"),
    }
}

/// Where the buyer gets it.
const ACCOUNT: &str = "支付用户零钱";

/// The merchant's account has not enough.
pub(in crate::mock) fn not_enough() -> Refusal {
    Refusal::new(403, "NOT_ENOUGH", "基本账户余额不足，请充值后重新发起")
}

/// The last refund was not long enough ago.
pub(in crate::mock) fn too_soon() -> Refusal {
    Refusal::new(429, "FREQUENCY_LIMITED", "2笔退款间隔少于1分钟，请稍后再试")
}

fn invalid(message: &str) -> Refusal {
    Refusal::new(400, "INVALID_REQUEST", message)
}

fn repeated() -> Refusal {
    invalid("订单金额或退款金额与之前请求不一致，请核实后再试")
}

fn unpaid() -> Refusal {
    Refusal::new(404, "RESOURCE_NOT_EXISTS", "订单不存在或未支付")
}

fn not_found() -> Refusal {
    Refusal::new(404, "RESOURCE_NOT_EXISTS", "退款单不存在")
}

fn merchant_of(sub: Option<&str>) -> String {
    match sub {
        None => keys::MCH_ID.to_owned(),
        Some(sub) => format!("{}/{sub}", keys::MCH_ID),
    }
}

fn at(merchant: &str) -> Merchant<'_> {
    Merchant { provider: ProviderId::Wxpay, id: merchant }
}
