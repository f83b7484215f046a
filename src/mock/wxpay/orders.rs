//! Simulated WeChat Pay V3: orders, closes, and the cashier.

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};
use url::{Url, form_urlencoded};

use super::merchant;
use super::responses::{WxpayApiError, not_found};
use super::route::MerchantRole;
use super::validate;
use super::validate::text;
use crate::domain::money::Fen;
use crate::domain::product::Product;
use crate::domain::time::{DAY_MS, HOUR_MS, MINUTE_MS, Millis};
use crate::mock::provider::{CashierVisit, merchant_page};
use crate::mock::purchase::{ActionRefused, PayWith, PaymentTarget};
use crate::mock::world::World;
use crate::mock::world::numbers;
use crate::mock::world::order::{OrderId, SimulatedOrder, State, TradeTerms};
use crate::mock::{keys, page, sign};

/// Creates an order, or issues a new code for an unpaid one. A repeated number must have the same
/// terms ("JSAPI order", `out_trade_no`; FAQ "201 商户订单号重复").
pub(super) fn create(
    world: &World,
    request: &Request<Bytes>,
    product: Product,
    role: MerchantRole,
) -> Result<Option<Value>, WxpayApiError> {
    let body: Value = serde_json::from_slice(request.body())
        .map_err(|_| WxpayApiError::parameter("", &Value::Null, "must be JSON"))?;
    let serial = request.headers().get("wechatpay-serial").and_then(|value| value.to_str().ok());
    validate::check(&body, product, role)?;
    let merchant = merchant::of_body(&body, role);
    let account = merchant::account(&merchant);
    let number = text(&body, "/out_trade_no").unwrap_or_default().to_owned();
    let now = world.now();
    let terms = terms(body, product, now);
    let origin = page::origin_of(request);
    let NewCode { code, lifetime_ms, response } = new_code(product, origin.as_deref(), now);
    let id = OrderId { merchant: account, out_trade_no: &number, created: now };
    world.change(&account, &number, |existing| {
        let mut order = match existing {
            Some(order) => repeated(order, &terms, now)?,
            None => SimulatedOrder::new(id, State::Unpaid, terms),
        };
        order.create_calls += 1;
        order.wechatpay_serial = serial.map(str::to_owned);
        order.issue_code(code, now, lifetime_ms);
        Ok::<_, WxpayApiError>(order)
    })?;
    Ok(Some(response))
}

/// The order, if WeChat Pay accepts another call that creates it.
fn repeated(
    order: SimulatedOrder,
    terms: &TradeTerms,
    now: Millis,
) -> Result<SimulatedOrder, WxpayApiError> {
    let duplicate = "201 商户订单号重复";
    let expired = "订单已过支付截止时间，请关单后换号重新下单";
    match order.state {
        State::Paid => Err(WxpayApiError::new(400, "ORDER_PAID", "该订单已支付")),
        State::Closed => Err(WxpayApiError::new(400, "ORDER_CLOSED", "该订单已关闭")),
        _ if order.terms.product != terms.product => {
            Err(WxpayApiError::new(400, "INVALID_REQUEST", duplicate))
        }
        _ if !order.has_same_terms(terms) => {
            let message = "商户订单号重复，参数值与原请求不一致";
            Err(WxpayApiError::new(403, "OUT_TRADE_NO_USED", message))
        }
        _ if order.terms.expires <= now => Err(WxpayApiError::new(400, "INVALID_REQUEST", expired)),
        _ => Ok(order),
    }
}

/// WeChat Pay raises `time_expire` to one minute from now, and keeps no order over 7 days.
fn terms(body: Value, product: Product, now: Millis) -> TradeTerms {
    let last = now.plus(7 * DAY_MS);
    let requested = text(&body, "/time_expire").and_then(Millis::from_rfc3339).unwrap_or(last);
    let owned = |pointer| text(&body, pointer).map(str::to_owned);
    TradeTerms {
        product,
        app_id: owned("/appid").or(owned("/sp_appid")).unwrap_or_default(),
        amount: amount(&body),
        subject: owned("/description").unwrap_or_default(),
        buyer: owned("/payer/openid").or(owned("/payer/sp_openid")).or(owned("/payer/sub_openid")),
        expires: requested.max(now.plus(MINUTE_MS)).min(last),
        digest: sign::digest(&body),
        request: body,
    }
}

fn amount(body: &Value) -> Fen {
    let total = body.pointer("/amount/total").and_then(Value::as_u64);
    total.and_then(Fen::new).expect("the amount was checked")
}

/// A code that WeChat Pay issues, and the response that carries it.
struct NewCode {
    code: String,
    lifetime_ms: i64,
    response: Value,
}

fn new_code(product: Product, origin: Option<&str>, now: Millis) -> NewCode {
    let prepay_id = numbers::prepay_id(now);
    let (name, code, lifetime_ms) = match product {
        Product::Native => ("code_url", numbers::code_url(), 2 * HOUR_MS),
        Product::H5 => ("h5_url", numbers::h5_url(origin, &prepay_id), 5 * MINUTE_MS),
        _ => ("prepay_id", prepay_id, 2 * HOUR_MS),
    };
    let response = json!({ name: code });
    NewCode { code, lifetime_ms, response }
}

/// Closes an unpaid order; a merchant can close a closed order again.
pub(super) fn close(
    world: &World,
    body: &Bytes,
    number: &str,
    role: MerchantRole,
) -> Result<Option<Value>, WxpayApiError> {
    let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let pointer = if role == MerchantRole::Direct { "/mchid" } else { "/sp_mchid" };
    if text(&body, pointer) != Some(keys::MCH_ID) {
        let issue = "differs from the Authorization's";
        return Err(WxpayApiError::parameter(pointer, &Value::Null, issue));
    }
    let now = world.now();
    let merchant = merchant::of_body(&body, role);
    world.change(&merchant::account(&merchant), number, |existing| {
        let order = existing.ok_or_else(not_found)?;
        match order.state {
            State::Paid => Err(WxpayApiError::new(400, "ORDER_PAID", "该订单已支付")),
            State::Closed => Ok(order),
            // The code that also means too many calls (V3, "close order", error codes).
            _ if order.paying_until.is_some_and(|until| now < until) => {
                let message = "用户正在支付中，请稍后再试";
                Err(WxpayApiError::new(429, "FREQUENCY_LIMITED", message))
            }
            _ => Ok(SimulatedOrder { state: State::Closed, closed: Some(now), ..order }),
        }
    })?;
    Ok(None)
}

/// Opens the cashier for an order that the buyer can pay.
pub(super) fn open_cashier(
    existing: Option<SimulatedOrder>,
    visit: CashierVisit<'_>,
) -> Result<SimulatedOrder, ActionRefused> {
    let order = existing.ok_or_else(ActionRefused::unknown_order)?;
    match order.state {
        State::Paid => Err(ActionRefused::new("ORDER_PAID", "该订单已支付")),
        State::Closed => Err(ActionRefused::new("ORDER_CLOSED", "该订单已关闭")),
        _ if order.terms.expires <= visit.now => {
            Err(ActionRefused::new("ORDER_EXPIRED", "订单已过期"))
        }
        _ if PaymentTarget::is_another_buyer(visit.payer, &order.terms) => {
            Err(ActionRefused::new("OPENID_MISMATCH", "支付者与下单的openid不一致"))
        }
        _ => Ok(order),
    }
}

/// The page to which WeChat sends the buyer of an `h5_url`, paid or not (V3, "H5 payment",
/// `redirect_url`: the client appends it).
pub(super) fn redirect_url(with: &PayWith) -> Option<Url> {
    let PayWith::H5Url(text) = with else { return None };
    let (_, query) = text.split_once('?')?;
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    let (_, url) = pairs.find(|(name, _)| name == "redirect_url")?;
    merchant_page(&url)
}
