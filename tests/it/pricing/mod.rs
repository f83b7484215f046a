//! The source of the price: through the real layer, over simulated providers, one test an attack.
#![cfg(feature = "mock")]

mod answers;
mod quotes;
mod service;
mod session;

use http::request::Builder;
use paygate::{PaymentLayer, Pricing};
use serde_json::{Value, json};

use crate::layer::{Answer, ask, create_as, posted};
use crate::support::shop::Shop;

const NO: &str = "2107151010101541001";
const OTHER_NO: &str = "2107151010101541002";

/// A layer whose prices `pricing` sets, and what is behind it.
async fn till(pricing: Pricing) -> (PaymentLayer, Shop) {
    let shop = Shop::open().await;
    (PaymentLayer::new(shop.engine.clone(), pricing), shop)
}

/// The request of a client at a PC: the number, itself, and `more` of `data`.
fn client(number: &str, more: Value) -> Value {
    let mut body = json!({
        "provider": "wxpay", "isPC": true, "context": {"PLATFORM": "h5"},
        "data": {"out_trade_no": number},
    });
    extend(&mut body["data"], more);
    body
}

/// The whole price of an order, and `more`.
fn price(number: &str, more: Value) -> Value {
    let mut price =
        json!({"out_trade_no": number, "total_fee": 100, "subject": "tea", "type": "goods"});
    extend(&mut price, more);
    price
}

fn extend(object: &mut Value, more: Value) {
    let Value::Object(more) = more else { panic!("{more} is no object") };
    object.as_object_mut().unwrap().extend(more);
}

fn without(mut object: Value, name: &str) -> Value {
    object.as_object_mut().unwrap().remove(name);
    object
}

fn request() -> Builder {
    posted("/pay/createPayment").header("accept-language", "en")
}

async fn send(layer: &PaymentLayer, body: &Value) -> Answer {
    ask(layer, create_as(request(), body)).await
}

/// The paths that a refusal names.
fn paths(answer: &Answer) -> Vec<&str> {
    let errors = answer.body["errors"].as_array();
    errors.into_iter().flatten().filter_map(|it| it["path"].as_str()).collect()
}

/// Values of priced fields that differ from the shop's, each in one field.
fn contradictions() -> Vec<(&'static str, Value)> {
    vec![
        ("total_fee", json!(1)),
        ("subject", json!("coffee")),
        ("type", json!("vip")),
        ("custom", json!({"vip": true})),
        ("pid", json!("001")),
        ("other", json!({"attach": "x"})),
        ("user_id", json!("somebody")),
        ("nickname", json!("somebody")),
        ("body", json!("coffee")),
        ("return_url", json!("https://evil.example.com/")),
        ("time_expire", json!(1_763_990_000_000_u64)),
        ("sub_mchid", json!("1900000001")),
        ("sub_appid", json!("wx0000000000000000")),
        ("app_auth_token", json!("stolen")),
        ("profit_sharing", json!(true)),
    ]
}
