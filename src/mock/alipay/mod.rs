//! Simulated Alipay: orders, queries, closes, pay pages; refunds are in `alipay_refund`.

pub(super) mod gateway;
pub(super) mod notification;
pub(super) mod refund;
pub(super) mod validate;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::reply::{Page, Reply};
use super::world::Providers;
use super::world::ledger::{Merchant, Order, State, Terms};
use super::world::numbers;
use crate::domain::channel::ProviderId;
use crate::domain::time::{HOUR_MS, Millis};
use gateway::{Gateway, Refusal};

/// Answers a call of the gateway.
pub(super) fn answer(providers: &Providers, gateway: &Gateway) -> Reply {
    let checked = gateway.check();
    match gateway.method() {
        "alipay.trade.wap.pay" | "alipay.trade.page.pay" => {
            let shown = checked.and_then(|content| show(providers, gateway, &content));
            Reply::Page(Page::Plain(page(gateway, shown)))
        }
        method => gateway.reply(checked.and_then(|content| match method {
            "alipay.trade.create" => create(providers, gateway, &content),
            "alipay.trade.precreate" => precreate(providers, gateway, &content),
            "alipay.trade.query" => query(providers, gateway, &content),
            "alipay.trade.close" => close(providers, gateway, &content),
            "alipay.trade.refund" => refund::refund(providers, gateway, &content),
            "alipay.trade.fastpay.refund.query" => refund::query(providers, gateway, &content),
            _ => Err(Refusal::new("40002", "isv.invalid-method", "不存在的方法名")),
        })),
    }
}

/// Creates the trade at once; the same data again is the same trade.
fn create(providers: &Providers, gateway: &Gateway, content: &Value) -> Result<Value, Refusal> {
    let now = providers.now();
    let (no, terms) = validate::order(gateway, content, now)?;
    let merchant = gateway.merchant();
    let order = providers.change(&at(&merchant), &no, |existing| {
        let mut order = match existing {
            None => offered(&merchant, &no, terms.clone(), now),
            Some(order) => open_for(order, &terms)?,
        };
        if order.state == State::Offered {
            order = traded(order, terms, now);
        }
        order.create_calls += 1;
        Ok::<_, Refusal>(order)
    })?;
    Ok(json!({ "out_trade_no": no, "trade_no": order.transaction_id }))
}

/// Hands out a QR code. There is no trade before somebody scans it, and until then the code
/// handed out last does not put an earlier one out of use, whatever its amount.
fn precreate(providers: &Providers, gateway: &Gateway, content: &Value) -> Result<Value, Refusal> {
    let now = providers.now();
    let (no, terms) = validate::order(gateway, content, now)?;
    let merchant = gateway.merchant();
    let qr_code = numbers::qr_code();
    providers.change(&at(&merchant), &no, |existing| {
        let mut order = match existing {
            None => offered(&merchant, &no, terms.clone(), now),
            Some(order) => open_for(order, &terms)?,
        };
        if order.state == State::Offered {
            order.terms = terms;
        }
        order.create_calls += 1;
        order.offer(qr_code.clone(), now, 2 * HOUR_MS);
        Ok::<_, Refusal>(order)
    })?;
    Ok(json!({ "out_trade_no": no, "qr_code": qr_code }))
}

/// What a pay page shows. The trade exists when the buyer goes on.
fn show(providers: &Providers, gateway: &Gateway, content: &Value) -> Result<Terms, Refusal> {
    let (no, terms) = validate::order(gateway, content, providers.now())?;
    match providers.find(&at(&gateway.merchant()), &no) {
        None => Ok(terms),
        Some(order) => open_for(order, &terms).map(|_| terms),
    }
}

fn query(providers: &Providers, gateway: &Gateway, content: &Value) -> Result<Value, Refusal> {
    let order = named(providers, gateway, content)?;
    Ok(told(&order))
}

/// Closes a trade that waits for its buyer; there is nothing else to close.
fn close(providers: &Providers, gateway: &Gateway, content: &Value) -> Result<Value, Refusal> {
    let named = named(providers, gateway, content)?;
    let now = providers.now();
    let order = providers.change(&at(&named.merchant), &named.out_trade_no, |existing| {
        match existing.ok_or_else(not_found)? {
            order if order.state == State::Unpaid => {
                Ok(Order { state: State::Closed, closed: Some(now), ..order })
            }
            _ => Err(Refusal::business("ACQ.REASON_TRADE_STATUS_INVALID", "交易状态不合法")),
        }
    })?;
    Ok(json!({ "out_trade_no": order.out_trade_no, "trade_no": order.transaction_id }))
}

/// The trade that `trade_no`, or else `out_trade_no`, names.
pub(super) fn named(
    providers: &Providers,
    gateway: &Gateway,
    content: &Value,
) -> Result<Order, Refusal> {
    let merchant = gateway.merchant();
    let found = match validate::text(content, "trade_no", 64)? {
        None => providers.find(&at(&merchant), &validate::number(content)?),
        Some(id) => providers.find_by_transaction(&at(&merchant), id),
    };
    found.filter(|order| order.state != State::Offered).ok_or_else(not_found)
}

/// The order, if it can still be paid on `terms`.
pub(super) fn open_for(order: Order, terms: &Terms) -> Result<Order, Refusal> {
    match order.state {
        State::Offered => Ok(order),
        State::Paid if order.is_returned() => {
            Err(Refusal::business("ACQ.TRADE_HAS_CLOSE", "交易已经关闭"))
        }
        State::Paid => Err(Refusal::business("ACQ.TRADE_HAS_SUCCESS", "交易已被支付")),
        State::Closed => Err(Refusal::business("ACQ.TRADE_HAS_CLOSE", "交易已经关闭")),
        State::Unpaid if !order.asks_the_same(terms) => {
            Err(Refusal::business("ACQ.CONTEXT_INCONSISTENT", "交易信息被篡改"))
        }
        State::Unpaid if terms.buyer.is_some() && order.terms.buyer != terms.buyer => {
            Err(Refusal::business("ACQ.TRADE_BUYER_NOT_MATCH", "交易买家不匹配"))
        }
        State::Unpaid => Ok(order),
    }
}

/// An order without a trade.
pub(super) fn offered(merchant: &str, no: &str, terms: Terms, now: Millis) -> Order {
    Order {
        provider: ProviderId::Alipay,
        merchant: merchant.to_owned(),
        out_trade_no: no.to_owned(),
        state: State::Offered,
        terms,
        created: now,
        closed: None,
        create_calls: 0,
        offers: Vec::new(),
        transaction_id: None,
        paying_until: None,
        wechatpay_serial: None,
        payments: Vec::new(),
    }
}

/// The order with its trade: whoever acts first fixes what it is for and who pays it.
pub(super) fn traded(order: Order, terms: Terms, now: Millis) -> Order {
    let transaction_id = Some(numbers::trade_no(now));
    Order { state: State::Unpaid, terms, transaction_id, ..order }
}

/// `trade_status`: a trade is closed when all of it went back (alipay.trade.query).
pub(super) fn trade_status(order: &Order) -> &'static str {
    match order.state {
        State::Paid if order.is_returned() => "TRADE_CLOSED",
        State::Paid => "TRADE_SUCCESS",
        State::Closed => "TRADE_CLOSED",
        State::Offered | State::Unpaid => "WAIT_BUYER_PAY",
    }
}

/// The trade as a query tells it.
fn told(order: &Order) -> Value {
    let payment = order.payments.first();
    let paid = payment.map_or_else(|| "0.00".to_owned(), |it| it.amount.to_yuan());
    let mut told = json!({
        "out_trade_no": order.out_trade_no,
        "trade_no": order.transaction_id,
        "trade_status": trade_status(order),
        "total_amount": payment.map_or(order.terms.amount, |it| it.amount).to_yuan(),
        "buyer_logon_id": "moc***@example.com",
        "buyer_pay_amount": paid,
        "receipt_amount": paid,
        "invoice_amount": paid,
        "point_amount": "0.00",
    });
    if let Some(buyer) = payment.map(|it| &it.payer).or(order.terms.buyer.as_ref()) {
        told[validate::buyer_field(buyer)] = json!(buyer);
    }
    if let Some(payment) = payment {
        told["send_pay_date"] = json!(payment.paid_at.to_alipay());
        told["fund_bill_list"] = json!([{ "amount": paid, "fund_channel": "ALIPAYACCOUNT" }]);
    }
    told
}

/// The page behind a signed address.
fn page(gateway: &Gateway, terms: Result<Terms, Refusal>) -> String {
    let text = match terms {
        Ok(terms) => {
            format!(
                "<h1>Pay on the mock</h1><p>{}<p>¥{}<p><a href=\"/#pay={}\">去收银台付款 · Pay at \
                 the cashier</a>",
                escaped(&terms.subject),
                terms.amount.to_yuan(),
                utf8_percent_encode(&gateway.text(), NON_ALPHANUMERIC)
            )
        }
        Err(refusal) => {
            let Refusal { sub_code, sub_msg, .. } = refusal;
            format!("<h1>{}</h1><p>{}", escaped(&sub_code), escaped(&sub_msg))
        }
    };
    format!("<!doctype html><meta charset=\"utf-8\"><title>paygate mock</title>{text}\n")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

pub(super) fn not_found() -> Refusal {
    Refusal::business("ACQ.TRADE_NOT_EXIST", "交易不存在")
}

pub(super) fn at(merchant: &str) -> Merchant<'_> {
    Merchant { provider: ProviderId::Alipay, id: merchant }
}
