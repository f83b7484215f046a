//! Simulated WeChat Pay V3: orders, queries, closes, certificates; refunds are in `wxpay_refund`.

pub(super) mod auth;
pub(super) mod notification;
pub(super) mod refund;
pub(super) mod responses;
pub(super) mod route;
pub(super) mod validate;

use bytes::Bytes;
use http::header::USER_AGENT;
use http::{Request, StatusCode};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::keys;
use super::reply::Reply;
use super::sign::{self, Signer};
use super::world::Providers;
use super::world::ledger::{Merchant, Order, State, Terms};
use super::world::numbers;
use crate::domain::channel::ProviderId;
use crate::domain::money::Fen;
use crate::domain::product::Product;
use crate::domain::time::{DAY_MS, HOUR_MS, MINUTE_MS, Millis};
use responses::{Refusal, certificates, not_found, told};
use route::{Place, Route};
use validate::text;

/// Answers a call as WeChat Pay does.
pub(super) fn answer(providers: &Providers, request: &Request<Bytes>, route: &Route) -> Reply {
    let serial = request.headers().get("wechatpay-serial").map(|it| it.as_bytes());
    let signer = match serial {
        Some(id) if id == keys::WXPAY_PUBLIC_KEY_ID.as_bytes() => Signer::WxpayPublicMode,
        _ => Signer::WxpayPlatform,
    };
    let (status, body) = match act(providers, request, route) {
        Ok(Some(body)) => (StatusCode::OK, body.to_string()),
        Ok(None) => (StatusCode::NO_CONTENT, String::new()),
        Err(refusal) => return refused(refusal),
    };
    Reply::Wxpay { status, body, signer }
}

/// A refusal, which nobody signs.
pub(super) fn refused(refusal: Refusal) -> Reply {
    let status = StatusCode::from_u16(refusal.status).expect("a status of the table of errors");
    Reply::Wxpay { status, body: refusal.body.to_string(), signer: Signer::WxpayPlatform }
}

fn act(
    providers: &Providers,
    request: &Request<Bytes>,
    route: &Route,
) -> Result<Option<Value>, Refusal> {
    // Seen before the signature is looked at (`/v3/certificates` without `User-Agent`).
    if *route == Route::Certificates && !request.headers().contains_key(USER_AGENT) {
        return Err(Refusal::new(400, "INVALID_REQUEST", "Http头缺少User-Agent"));
    }
    auth::check(request, providers.wall())?;
    match route {
        Route::Create(product, place) => create(providers, request, *product, *place),
        Route::ByNumber(no, place) => {
            let merchant = merchant_of_query(request, *place)?;
            let order = providers.find(&at(&merchant), no).ok_or_else(not_found)?;
            Ok(Some(told(&order, *place)))
        }
        Route::ByTransaction(id, place) => {
            let merchant = merchant_of_query(request, *place)?;
            let found = providers.find_by_transaction(&at(&merchant), id);
            let order = found.ok_or_else(not_found)?;
            Ok(Some(told(&order, *place)))
        }
        Route::Close(no, place) => close(providers, request.body(), no, *place),
        Route::Refund => refund::refund(providers, request.body()),
        Route::RefundByNumber(no) => refund::query(providers, request, no),
        Route::Certificates => Ok(Some(certificates())),
    }
}

/// Orders, or hands out anew what an unpaid order can be paid with. The same number again must
/// ask for the same ("JSAPI order", `out_trade_no`; FAQ "201 商户订单号重复").
fn create(
    providers: &Providers,
    request: &Request<Bytes>,
    product: Product,
    place: Place,
) -> Result<Option<Value>, Refusal> {
    let body: Value = serde_json::from_slice(request.body())
        .map_err(|_| Refusal::parameter("", &Value::Null, "must be JSON"))?;
    let serial = request.headers().get("wechatpay-serial").and_then(|it| it.to_str().ok());
    validate::check(&body, product, place)?;
    let merchant = merchant_of_body(&body, place);
    let no = text(&body, "/out_trade_no").unwrap_or_default().to_owned();
    let now = providers.now();
    let terms = terms(body, product, now);
    let (code, lifetime_ms, reply) = material(product, now);
    providers.change(&at(&merchant), &no, |existing| {
        let mut order = match existing {
            Some(order) => re_entered(order, &terms, now)?,
            None => Order {
                provider: ProviderId::Wxpay,
                merchant: merchant.clone(),
                out_trade_no: no.clone(),
                state: State::Unpaid,
                terms,
                created: now,
                closed: None,
                create_calls: 0,
                offers: Vec::new(),
                transaction_id: None,
                paying_until: None,
                wechatpay_serial: None,
                payments: Vec::new(),
            },
        };
        order.create_calls += 1;
        order.wechatpay_serial = serial.map(str::to_owned);
        order.offer(code, now, lifetime_ms);
        Ok::<_, Refusal>(order)
    })?;
    Ok(Some(reply))
}

/// The order, if a further call for it is let through.
fn re_entered(order: Order, terms: &Terms, now: Millis) -> Result<Order, Refusal> {
    let duplicate = "201 商户订单号重复";
    match order.state {
        State::Paid => Err(Refusal::new(400, "ORDER_PAID", "该订单已支付")),
        State::Closed => Err(Refusal::new(400, "ORDER_CLOSED", "该订单已关闭")),
        _ if order.terms.product != terms.product => {
            Err(Refusal::new(400, "INVALID_REQUEST", duplicate))
        }
        _ if !order.asks_the_same(terms) => {
            Err(Refusal::new(403, "OUT_TRADE_NO_USED", "商户订单号重复，参数值与原请求不一致"))
        }
        _ if order.terms.expires <= now => {
            Err(Refusal::new(400, "INVALID_REQUEST", "订单已过支付截止时间，请关单后换号重新下单"))
        }
        _ => Ok(order),
    }
}

/// `time_expire` is raised to one minute from now, and no order lives over 7 days.
fn terms(body: Value, product: Product, now: Millis) -> Terms {
    let last = now.plus(7 * DAY_MS);
    let asked = text(&body, "/time_expire").and_then(Millis::from_rfc3339).unwrap_or(last);
    let owned = |pointer| text(&body, pointer).map(str::to_owned);
    Terms {
        product,
        app_id: owned("/appid").or(owned("/sp_appid")).unwrap_or_default(),
        amount: amount(&body),
        subject: owned("/description").unwrap_or_default(),
        buyer: owned("/payer/openid").or(owned("/payer/sp_openid")).or(owned("/payer/sub_openid")),
        expires: asked.max(now.plus(MINUTE_MS)).min(last),
        digest: sign::digest(&body),
        request: body,
    }
}

fn amount(body: &Value) -> Fen {
    let total = body.pointer("/amount/total").and_then(Value::as_u64);
    total.and_then(Fen::new).expect("the amount was checked")
}

/// What is handed out, for how long it works, and the reply that tells it.
fn material(product: Product, now: Millis) -> (String, i64, Value) {
    let prepay_id = numbers::prepay_id(now);
    match product {
        Product::Native => {
            let code_url = numbers::code_url();
            (code_url.clone(), 2 * HOUR_MS, json!({ "code_url": code_url }))
        }
        Product::H5 => {
            let h5_url = numbers::h5_url(&prepay_id);
            (h5_url.clone(), 5 * MINUTE_MS, json!({ "h5_url": h5_url }))
        }
        _ => (prepay_id.clone(), 2 * HOUR_MS, json!({ "prepay_id": prepay_id })),
    }
}

/// Closes; a closed order can be closed again.
fn close(
    providers: &Providers,
    body: &Bytes,
    no: &str,
    place: Place,
) -> Result<Option<Value>, Refusal> {
    let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let pointer = if place == Place::Direct { "/mchid" } else { "/sp_mchid" };
    if text(&body, pointer) != Some(keys::MCH_ID) {
        return Err(Refusal::parameter(pointer, &Value::Null, "differs from the Authorization's"));
    }
    let now = providers.now();
    providers.change(&at(&merchant_of_body(&body, place)), no, |existing| {
        let order = existing.ok_or_else(not_found)?;
        match order.state {
            State::Paid => Err(Refusal::new(400, "ORDER_PAID", "该订单已支付")),
            State::Closed => Ok(order),
            // The code that also means too many calls (V3, "close order", error codes).
            _ if order.paying_until.is_some_and(|it| now < it) => {
                Err(Refusal::new(429, "FREQUENCY_LIMITED", "用户正在支付中，请稍后再试"))
            }
            _ => Ok(Order { state: State::Closed, closed: Some(now), ..order }),
        }
    })?;
    Ok(None)
}

fn merchant_of_body(body: &Value, place: Place) -> String {
    match place {
        Place::Direct => keys::MCH_ID.to_owned(),
        Place::Partner => {
            format!("{}/{}", keys::MCH_ID, text(body, "/sub_mchid").unwrap_or_default())
        }
    }
}

fn at(merchant: &str) -> Merchant<'_> {
    Merchant { provider: ProviderId::Wxpay, id: merchant }
}

/// The merchant that a query names in its parameters.
fn merchant_of_query(request: &Request<Bytes>, place: Place) -> Result<String, Refusal> {
    let query = request.uri().query().unwrap_or_default();
    let value = |name: &str| {
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    };
    let (own, sub) = match place {
        Place::Direct => ("mchid", None),
        Place::Partner => ("sp_mchid", Some("sub_mchid")),
    };
    if value(own).as_deref() != Some(keys::MCH_ID) {
        return Err(Refusal::parameter(own, &Value::Null, "differs from the Authorization's"));
    }
    match sub {
        None => Ok(keys::MCH_ID.to_owned()),
        Some(sub) => match value(sub) {
            Some(sub) => Ok(format!("{}/{sub}", keys::MCH_ID)),
            None => Err(Refusal::parameter(sub, &Value::Null, "is required")),
        },
    }
}
