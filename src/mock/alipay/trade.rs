//! Simulated Alipay: trades, from the call that creates one to its close, and the cashier.

use serde_json::{Value, json};

use super::request::{AlipayApiError, AlipayRequest};
use super::validate;
use crate::domain::channel::ProviderId;
use crate::domain::product::Product;
use crate::domain::time::{HOUR_MS, Millis};
use crate::mock::provider::CashierVisit;
use crate::mock::purchase::{ActionRefused, PaymentTarget};
use crate::mock::world::World;
use crate::mock::world::numbers;
use crate::mock::world::order::{MerchantAccount, OrderId, SimulatedOrder, State, TradeTerms};

/// Creates the trade at once; a call with the same data again is for the same trade.
pub(super) fn create(
    world: &World,
    request: &AlipayRequest,
    content: &Value,
) -> Result<Value, AlipayApiError> {
    let now = world.now();
    let (number, terms) = validate::order(request, content, now)?;
    let merchant = request.merchant();
    let order = world.change(&account(&merchant), &number, |existing| {
        let mut order = match existing {
            None => order_without_trade(&merchant, &number, terms.clone(), now),
            Some(order) => check_payable(order, &terms)?,
        };
        if order.state == State::Offered {
            order = with_trade(order, terms, now);
        }
        order.create_calls += 1;
        Ok::<_, AlipayApiError>(order)
    })?;
    Ok(json!({ "out_trade_no": number, "trade_no": order.transaction_id }))
}

/// Issues a QR code. There is no trade before a buyer scans it, and until then a new code does not
/// make an earlier one invalid, whatever its amount.
pub(super) fn precreate(
    world: &World,
    request: &AlipayRequest,
    content: &Value,
) -> Result<Value, AlipayApiError> {
    let now = world.now();
    let (number, terms) = validate::order(request, content, now)?;
    let merchant = request.merchant();
    let qr_code = numbers::qr_code(request.origin());
    world.change(&account(&merchant), &number, |existing| {
        let mut order = match existing {
            None => order_without_trade(&merchant, &number, terms.clone(), now),
            Some(order) => check_payable(order, &terms)?,
        };
        if order.state == State::Offered {
            order.terms = terms;
        }
        order.create_calls += 1;
        order.issue_code(qr_code.clone(), now, 2 * HOUR_MS);
        Ok::<_, AlipayApiError>(order)
    })?;
    Ok(json!({ "out_trade_no": number, "qr_code": qr_code }))
}

pub(super) fn query(
    world: &World,
    request: &AlipayRequest,
    content: &Value,
) -> Result<Value, AlipayApiError> {
    Ok(query_response(&find_trade(world, request, content)?))
}

/// Closes a trade that waits for its buyer; Alipay closes no other.
pub(super) fn close(
    world: &World,
    request: &AlipayRequest,
    content: &Value,
) -> Result<Value, AlipayApiError> {
    let named = find_trade(world, request, content)?;
    let now = world.now();
    let order =
        world.change(&account(&named.merchant), &named.out_trade_no, |existing| match existing
            .ok_or_else(not_found)?
        {
            order if order.state == State::Unpaid => {
                Ok(SimulatedOrder { state: State::Closed, closed: Some(now), ..order })
            }
            _ => Err(AlipayApiError::business("ACQ.REASON_TRADE_STATUS_INVALID", "交易状态不合法")),
        })?;
    Ok(json!({ "out_trade_no": order.out_trade_no, "trade_no": order.transaction_id }))
}

/// The trade that `trade_no`, or else `out_trade_no`, names.
pub(super) fn find_trade(
    world: &World,
    request: &AlipayRequest,
    content: &Value,
) -> Result<SimulatedOrder, AlipayApiError> {
    let merchant = request.merchant();
    let found = match validate::text(content, "trade_no", 64)? {
        None => world.find(&account(&merchant), &validate::order_number(content)?),
        Some(id) => world.find_by_transaction(&account(&merchant), id),
    };
    found.filter(|order| order.state != State::Offered).ok_or_else(not_found)
}

/// The order, if a buyer can still pay it on `terms`.
pub(super) fn check_payable(
    order: SimulatedOrder,
    terms: &TradeTerms,
) -> Result<SimulatedOrder, AlipayApiError> {
    match order.state {
        State::Offered => Ok(order),
        State::Paid if order.is_fully_refunded() => {
            Err(AlipayApiError::business("ACQ.TRADE_HAS_CLOSE", "交易已经关闭"))
        }
        State::Paid => Err(AlipayApiError::business("ACQ.TRADE_HAS_SUCCESS", "交易已被支付")),
        State::Closed => Err(AlipayApiError::business("ACQ.TRADE_HAS_CLOSE", "交易已经关闭")),
        State::Unpaid if !order.has_same_terms(terms) => {
            Err(AlipayApiError::business("ACQ.CONTEXT_INCONSISTENT", "交易信息被篡改"))
        }
        State::Unpaid if terms.buyer.is_some() && order.terms.buyer != terms.buyer => {
            Err(AlipayApiError::business("ACQ.TRADE_BUYER_NOT_MATCH", "交易买家不匹配"))
        }
        State::Unpaid => Ok(order),
    }
}

fn order_without_trade(
    merchant: &str,
    out_trade_no: &str,
    terms: TradeTerms,
    created: Millis,
) -> SimulatedOrder {
    let id = OrderId { merchant: account(merchant), out_trade_no, created };
    SimulatedOrder::new(id, State::Offered, terms)
}

/// The order with its trade: the call or the buyer that creates the trade fixes its terms.
fn with_trade(order: SimulatedOrder, terms: TradeTerms, now: Millis) -> SimulatedOrder {
    let transaction_id = Some(numbers::trade_no(now));
    SimulatedOrder { state: State::Unpaid, terms, transaction_id, ..order }
}

/// Opens the cashier: the trade exists from then on.
pub(super) fn open_cashier(
    existing: Option<SimulatedOrder>,
    target: &PaymentTarget,
    visit: CashierVisit<'_>,
    default_payer: &str,
) -> Result<SimulatedOrder, ActionRefused> {
    let PaymentTarget { merchant, out_trade_no, terms } = target;
    let order = existing
        .unwrap_or_else(|| order_without_trade(merchant, out_trade_no, terms.clone(), visit.now));
    let order = check_payable(order, terms)?;
    if order.state == State::Unpaid {
        if PaymentTarget::is_another_buyer(visit.payer, &order.terms) {
            return Err(ActionRefused::new("ACQ.TRADE_BUYER_NOT_MATCH", "交易买家不匹配"));
        }
        return Ok(order);
    }
    if terms.expires <= visit.now {
        let code = "ACQ.NOW_TIME_AFTER_EXPIRE_TIME_ERROR";
        return Err(ActionRefused::new(code, "已超过订单允许的支付截止时间"));
    }
    let buyer = Some(visit.payer.unwrap_or(default_payer).to_owned());
    Ok(with_trade(order, TradeTerms { buyer, ..terms.clone() }, visit.now))
}

/// Parses an order string or the address of a pay page: the merchant signed it without calling
/// Alipay.
pub(super) fn signed_order(text: &str, now: Millis) -> Result<PaymentTarget, ActionRefused> {
    let request = AlipayRequest::parse_text(text);
    let content = request.check()?;
    let (out_trade_no, terms) = validate::order(&request, &content, now)?;
    match terms.product {
        Product::AppPay | Product::WapPay | Product::PagePay => {
            Ok(PaymentTarget { merchant: request.merchant(), out_trade_no, terms })
        }
        _ => {
            let message = "a merchant gives no such call to a buyer";
            Err(ActionRefused::new("isv.invalid-method", message))
        }
    }
}

/// `trade_status`: a trade is closed when it is refunded in full (alipay.trade.query).
fn trade_status(order: &SimulatedOrder) -> &'static str {
    match order.state {
        State::Paid if order.is_fully_refunded() => "TRADE_CLOSED",
        State::Paid => "TRADE_SUCCESS",
        State::Closed => "TRADE_CLOSED",
        State::Offered | State::Unpaid => "WAIT_BUYER_PAY",
    }
}

fn query_response(order: &SimulatedOrder) -> Value {
    let payment = order.payments.first();
    let paid = payment.map_or_else(|| "0.00".to_owned(), |payment| payment.amount.to_yuan());
    let total = payment.map_or(order.terms.amount, |payment| payment.amount);
    let mut response = json!({
        "out_trade_no": order.out_trade_no,
        "trade_no": order.transaction_id,
        "trade_status": trade_status(order),
        "total_amount": total.to_yuan(),
        "buyer_logon_id": "moc***@example.com",
        "buyer_pay_amount": paid,
        "receipt_amount": paid,
        "invoice_amount": paid,
        "point_amount": "0.00",
    });
    if let Some(buyer) = payment.map(|payment| &payment.payer).or(order.terms.buyer.as_ref()) {
        response[validate::buyer_field(buyer)] = json!(buyer);
    }
    if let Some(payment) = payment {
        response["send_pay_date"] = json!(payment.paid_at.to_alipay());
        response["fund_bill_list"] = json!([{ "amount": paid, "fund_channel": "ALIPAYACCOUNT" }]);
    }
    response
}

pub(super) fn not_found() -> AlipayApiError {
    AlipayApiError::business("ACQ.TRADE_NOT_EXIST", "交易不存在")
}

/// The account of `merchant` at Alipay.
pub(super) fn account(merchant: &str) -> MerchantAccount<'_> {
    MerchantAccount { provider: ProviderId::Alipay, id: merchant }
}
