//! A price that an async function of the app sets.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use paygate::domain::{NeedQrcode, ProviderId};
use paygate::pricing::{Price, PriceOperation, PriceQuery, PricingError};
use paygate::{PaymentLayer, Pricing};
use serde_json::{Value, json};

use super::{NO, OTHER_NO, client, contradictions, paths, price, request, send, till, without};
use crate::layer::{ask, create_as, empty};
use crate::support::shop::Shop;

/// A till where this is the price of everything.
async fn priced(fields: Value) -> (PaymentLayer, Shop) {
    till(Pricing::callback(move |_| {
        let fields = fields.clone();
        async move { Price::of(&fields) }
    }))
    .await
}

#[tokio::test]
async fn the_callback_receives_all_that_it_needs_to_know() {
    let asked: Arc<Mutex<Vec<PriceQuery>>> = Arc::default();
    let questions = asked.clone();
    let (layer, _) = till(Pricing::callback(move |question: PriceQuery| {
        let fields = price(question.out_trade_no.as_str(), json!({}));
        questions.lock().unwrap().push(question);
        async move { Price::of(&fields) }
    }))
    .await;
    let mut body = client(NO, json!({"total_fee": 1.0e2}));
    body["needQRcode"] = json!("image");
    let known = request()
        .header("authorization", "Bearer canary-session")
        .header("cookie", "a=canary")
        .header("cookie", "b=2");
    assert_eq!(ask(&layer, create_as(known, &body)).await.code(), (200, &json!(0)));
    assert_eq!(send(&layer, &body).await.header("idempotent-replayed"), Some("true"));

    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 2, "a repeat is asked for, too");
    let PriceOperation::CreatePayment { provider, need_qrcode } = asked[0].operation else {
        panic!("{:?}", asked[0].operation)
    };
    assert_eq!((provider, need_qrcode), (ProviderId::Wxpay, NeedQrcode::Image));
    assert_eq!(asked[0].out_trade_no.as_str(), NO);
    assert_eq!(asked[0].data.as_str(), body["data"].to_string());
    assert!(asked[0].context.is_pc);
    assert_eq!(asked[0].authorization.as_ref().unwrap(), "Bearer canary-session");
    assert_eq!(asked[0].cookie.as_ref().unwrap(), "a=canary; b=2");
    assert!(!format!("{:?}", asked[0]).contains("canary"));
    assert_eq!((&asked[1].authorization, &asked[1].cookie), (&None, &None));
}

#[tokio::test]
async fn a_caller_that_the_callback_refuses_learns_nothing_of_the_order() {
    let may_ask = Arc::new(AtomicUsize::new(1));
    let left = may_ask.clone();
    let (layer, shop) = till(Pricing::callback(move |question: PriceQuery| {
        let may_ask = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |it| it.checked_sub(1));
        async move {
            if may_ask.is_err() {
                return Err(PricingError::refused(403, 40_301, "not your order"));
            }
            Price::of(&price(question.out_trade_no.as_str(), json!({})))
        }
    }))
    .await;
    assert_eq!(send(&layer, &client(NO, json!({}))).await.status, 200);
    let mut bodies = Vec::new();
    for number in [NO, OTHER_NO] {
        let answer = send(&layer, &client(number, json!({}))).await;
        assert_eq!(answer.code(), (403, &json!(40_301)));
        assert_eq!(answer.body["msg"], "not your order");
        assert_eq!(answer.body["requestId"].as_str(), answer.header("x-request-id"));
        bodies.push(without(answer.body, "requestId"));
    }
    assert_eq!(bodies[0], bodies[1]);
    assert_eq!(shop.creates(), 1);
}

#[tokio::test]
async fn where_the_app_fails_nothing_is_sent_and_nothing_leaks() {
    let (layer, shop) = till(Pricing::callback(async |_| {
        let _: u64 = "canary".parse()?;
        Price::of(&json!({}))
    }))
    .await;
    let answer = send(&layer, &client(NO, json!({}))).await;
    assert_eq!(answer.code(), (503, &json!(5001)));
    assert!(answer.header("retry-after").is_some());
    assert!(!answer.body.to_string().contains("digit"), "{}", answer.body);
    assert_eq!(shop.creates(), 0);
}

#[tokio::test]
async fn an_answer_without_a_field_is_no_answer() {
    let whole = || price(NO, json!({}));
    for fields in [
        json!({}),
        without(whole(), "out_trade_no"),
        without(whole(), "total_fee"),
        without(whole(), "subject"),
        without(whole(), "type"),
        price(NO, json!({"total_fee": null})),
        price(OTHER_NO, json!({})),
        json!([whole()]),
        json!(null),
    ] {
        let (layer, shop) = priced(fields.clone()).await;
        let answer = send(&layer, &client(NO, json!({}))).await;
        assert_eq!(answer.code(), (503, &json!(5001)), "{fields}");
        assert_eq!(shop.creates(), 0);
    }
}

#[tokio::test]
async fn an_answered_field_that_breaks_its_rule_gives_its_code() {
    for (field, value, code) in [
        ("type", json!("a.b"), 1002),
        ("total_fee", json!("100"), 1003),
        ("subject", json!("a\nb"), 1004),
        ("custom", json!([]), 4001),
        ("other", json!({"amount": {"total": 1}}), 4002),
        ("pid", json!("nobody"), 4003),
        ("quote", json!("x"), 4000),
    ] {
        let (layer, shop) = priced(price(NO, json!({field: value}))).await;
        let answer = send(&layer, &client(NO, json!({}))).await;
        assert_eq!(answer.code(), (422, &json!(code)), "{field}: {}", answer.body);
        assert!(paths(&answer)[0].starts_with(&format!("/data/{field}")), "{}", answer.body);
        assert_eq!(shop.creates(), 0);
    }
}

#[tokio::test]
async fn a_client_cannot_contradict_the_app() {
    let (layer, shop) = priced(price(NO, json!({}))).await;
    for (name, value) in contradictions() {
        let answer = send(&layer, &client(NO, json!({name: value}))).await;
        assert_eq!(answer.code(), (422, &json!(4102)), "{name}: {}", answer.body);
        assert_eq!(paths(&answer), [format!("/data/{name}")]);
    }
    assert_eq!(shop.creates(), 0);
    let (layer, _) = priced(price(NO, json!({"openid": "owner"}))).await;
    let answer = send(&layer, &client(NO, json!({"openid": "squatter"}))).await;
    assert_eq!((answer.status, paths(&answer)), (422, vec!["/data/openid"]));
}

#[tokio::test]
async fn a_quote_counts_for_nothing_with_a_callback() {
    let (layer, shop) =
        till(Pricing::callback(async |_| Err(PricingError::unavailable("closed")))).await;
    let mut body = client(NO, json!({"total_fee": 1, "subject": "tea", "type": "goods"}));
    body["quote"] = json!("a.b.c");
    assert_eq!(send(&layer, &body).await.code(), (503, &json!(5001)));
    assert_eq!(shop.creates(), 0);
}

#[tokio::test]
async fn another_price_for_a_known_number_is_another_order() {
    let fee = Arc::new(AtomicUsize::new(100));
    let current = fee.clone();
    let (layer, shop) = till(Pricing::callback(move |_| {
        let fields = price(NO, json!({"total_fee": current.load(Ordering::SeqCst)}));
        async move { Price::of(&fields) }
    }))
    .await;
    assert_eq!(send(&layer, &client(NO, json!({}))).await.status, 200);
    fee.store(1, Ordering::SeqCst);
    let answer = send(&layer, &client(NO, json!({}))).await;
    assert_eq!((answer.code(), paths(&answer)), ((422, &json!(4102)), vec!["/data/total_fee"]));
    assert_eq!(shop.creates(), 1);
}

#[tokio::test]
async fn a_secret_of_the_shop_reaches_the_provider_without_the_client() {
    let fields = price(NO, json!({"app_auth_token": "canary", "user_id": "u"}));
    let (layer, shop) = priced(fields).await;
    let mut body = client(NO, json!({}));
    body["provider"] = json!("alipay");
    let answer = send(&layer, &body).await;
    assert_eq!(answer.code(), (200, &json!(0)), "{}", answer.body);
    assert!(!answer.body.to_string().contains("canary"));
    assert_eq!(shop.creates(), 1);
}

#[tokio::test]
async fn two_authorizations_are_refused() {
    let (layer, _) = priced(price(NO, json!({}))).await;
    let twice = request().header("authorization", "Bearer a").header("authorization", "Bearer b");
    let answer = ask(&layer, create_as(twice, &client(NO, json!({})))).await;
    assert_eq!(answer.code(), (401, &json!(4005)));
}

#[tokio::test]
async fn pages_may_send_credentials_only_where_the_app_reads_them() {
    const PAGE: &str = "https://shop.example.com";
    let preflight = |origin: &str| {
        let request = http::Request::options("/pay/createPayment").header("origin", origin);
        empty(request.header("access-control-request-method", "POST"))
    };
    let quoted = Pricing::quote("0123456789abcdef0123456789abcdef").unwrap();
    let asked = Pricing::callback(async |_| Price::of(&price(NO, json!({}))));
    for (pricing, allowed) in [(quoted, None), (asked, Some("true"))] {
        let (layer, _) = till(pricing).await;
        let layer = layer.cors_origins([PAGE.to_owned()]);
        let answer = ask(&layer, preflight(PAGE)).await;
        assert_eq!(answer.status, 204);
        assert_eq!(answer.header("access-control-allow-credentials"), allowed);
        let headers = answer.header("access-control-allow-headers").unwrap();
        assert_eq!(headers.contains("Authorization"), allowed.is_some(), "{headers}");
        let from =
            |origin: &str| create_as(request().header("origin", origin), &client(NO, json!({})));
        let answer = ask(&layer, from(PAGE)).await;
        assert_eq!(answer.header("access-control-allow-credentials"), allowed);
        let other = ask(&layer, from("https://evil.example.com")).await;
        assert_eq!(other.header("access-control-allow-credentials"), None);
    }
}
