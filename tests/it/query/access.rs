//! `queryPayment` over HTTP: what it says, and to whom.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use http::request::Builder;
use paygate::domain::ProviderId;
use paygate::pricing::{Price, PriceOperation, PriceQuery, PricingError};
use paygate::testing::guard::schema;
use paygate::{PaymentLayer, Pricing};
use serde_json::{Value, json};

use crate::layer::{Answer, ask, create_as, empty, posted};
use crate::support::notifications::{address, notification};
use crate::support::payment_layer::{NO, OTHER_NO, by_number, opened, paid, send};
use crate::support::shop::{Shop, with};

const TOKEN: &str = "a-caller-token-of-more-than-32-characters";
const QUOTE_SECRET: &str = "0123456789abcdef0123456789abcdef";

fn open_layer(shop: &Shop) -> PaymentLayer {
    PaymentLayer::new(shop.engine.clone(), Pricing::danger_trust_every_caller())
}

fn request() -> Builder {
    posted("/pay/queryPayment").header("accept-language", "en")
}

async fn query(layer: &PaymentLayer, body: &Value) -> Answer {
    ask(layer, create_as(request(), body)).await
}

/// A shop where `NO` is paid and told, `OTHER_NO` waits.
async fn shop() -> (Shop, String) {
    let shop = Shop::open().await;
    paid(&shop, ProviderId::Wxpay, NO).await;
    opened(&shop, ProviderId::Alipay, OTHER_NO).await;
    let notification = notification(&shop, ProviderId::Wxpay, NO, &address(ProviderId::Wxpay));
    assert_eq!(send(&open_layer(&shop), notification).await.status(), 200);
    let transaction_id = shop.order(NO).await.payments[0].transaction_id.0.to_string();
    (shop, transaction_id)
}

/// The same but for the request's own id.
fn anonymous(answer: &Answer) -> (u16, Value) {
    let mut body = answer.body.clone();
    body.as_object_mut().unwrap().remove("requestId");
    (answer.status, body)
}

#[tokio::test]
async fn a_paid_order_says_so_by_either_of_its_numbers() {
    let (shop, transaction_id) = shop().await;
    let expected = json!({
        "code": 0, "msg": "ok", "orderPaid": true, "user_order_success": null,
        "out_trade_no": NO, "transaction_id": transaction_id, "status": 1,
    });
    for number in [
        by_number(NO),
        json!({"transaction_id": transaction_id}),
        json!({"out_trade_no": NO, "transaction_id": null, "quote": "", "await_notify": null}),
        json!({"out_trade_no": "", "transaction_id": transaction_id, "await_max_time": 1}),
        json!({"out_trade_no": NO, "await_notify": true, "await_max_time": 40}),
    ] {
        let answer = query(&open_layer(&shop), &number).await;
        assert_eq!(anonymous(&answer), (200, expected.clone()), "{number}");
        let text = answer.body.to_string();
        assert_eq!(schema::accepts("query-payment-reply", text.as_bytes()), Some(true));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
}

#[tokio::test]
async fn an_unpaid_order_is_code_2002_and_status_200() {
    let (shop, _) = shop().await;
    let answer = query(&open_layer(&shop), &by_number(OTHER_NO)).await;
    let expected = json!({
        "code": 2002, "msg": "the order is not paid", "orderPaid": false,
        "out_trade_no": OTHER_NO, "status": 0, "trade_state": "WAIT_BUYER_PAY",
    });
    assert_eq!(anonymous(&answer), (200, expected));
    let text = answer.body.to_string();
    assert_eq!(schema::accepts("query-payment-reply", text.as_bytes()), Some(true));
}

#[tokio::test]
async fn a_payment_that_nobody_told_of_is_found_when_somebody_asks() {
    for provider in [ProviderId::Wxpay, ProviderId::Alipay] {
        let shop = Shop::open().await;
        paid(&shop, provider, NO).await;
        let layer = open_layer(&shop);
        let soon = query(&layer, &by_number(NO)).await;
        assert_eq!(soon.code(), (200, &json!(2002)), "asked at its creation, a moment ago");
        shop.clock.advance_ms(5_000);
        assert_eq!(query(&layer, &by_number(NO)).await.code(), (200, &json!(0)));
    }
}

#[tokio::test]
async fn an_ill_question_names_what_is_ill() {
    let layer = open_layer(&Shop::open().await);
    let rows = [
        (json!({}), 1001, "/out_trade_no"),
        (json!([]), 1001, "/out_trade_no"),
        (json!({"out_trade_no": ""}), 1001, "/out_trade_no"),
        (json!({"out_trade_no": "a/b123"}), 1001, "/out_trade_no"),
        (json!({"out_trade_no": 123_456}), 1001, "/out_trade_no"),
        (json!({"transaction_id": "a b"}), 4000, "/transaction_id"),
        (json!({"transaction_id": 4_200_001}), 4000, "/transaction_id"),
        (json!({"out_trade_no": NO, "transaction_id": "4200001"}), 4000, "/transaction_id"),
        (json!({"out_trade_no": NO, "await_notify": "yes"}), 4000, "/await_notify"),
        (json!({"out_trade_no": NO, "await_max_time": 0}), 4000, "/await_max_time"),
        (json!({"out_trade_no": NO, "await_max_time": 41}), 4000, "/await_max_time"),
        (json!({"out_trade_no": NO, "await_max_time": 1.5}), 4000, "/await_max_time"),
        (json!({"out_trade_no": NO, "pay_order_info": "yes"}), 4000, "/pay_order_info"),
        (json!({"out_trade_no": NO, "pay_order_info": 1}), 4000, "/pay_order_info"),
        (json!({"out_trade_no": NO, "x": 1}), 4000, "/x"),
    ];
    for (body, code, path) in rows {
        let answer = query(&layer, &body).await;
        assert_eq!(answer.code(), (422, &json!(code)), "{body}");
        assert_eq!(answer.body["errors"][0]["path"], path, "{body}");
        assert_eq!(answer.body["errors"].as_array().unwrap().len(), 1, "{body}");
    }
    let ill_quote = query(&layer, &json!({"out_trade_no": NO, "quote": 1})).await;
    assert_eq!(ill_quote.code(), (401, &json!(4005)));
    assert_eq!(ask(&layer, empty(http::Request::get("/pay/queryPayment"))).await.status, 405);
    let untyped = http::Request::post("/pay/queryPayment");
    assert_eq!(ask(&layer, create_as(untyped, &by_number(NO))).await.status, 415);
}

/// vk-uni-pay's component sends it with every question.
#[tokio::test]
async fn pay_order_info_adds_nothing_for_the_public_whoever_sets_the_price() {
    let (shop, transaction_id) = shop().await;
    let engine = || shop.engine.clone();
    let token = PaymentLayer::new(engine(), Pricing::caller_token(TOKEN).unwrap());
    let quoted = PaymentLayer::new(engine(), Pricing::quote(QUOTE_SECRET).unwrap());
    let layers = [open_layer(&shop), token, quoted, asking(&shop).0];
    let numbers = [
        json!({"out_trade_no": NO, "quote": quote(NO, &json!({}))}),
        json!({"transaction_id": transaction_id, "quote": quote(NO, &json!({}))}),
        json!({"out_trade_no": OTHER_NO, "quote": quote(OTHER_NO, &json!({}))}),
    ];
    for layer in &layers {
        for number in &numbers {
            let ask_with = async |body: &Value| {
                let request = request().header("authorization", format!("Bearer {TOKEN}"));
                ask(layer, create_as(request.header("cookie", "sid=whole"), body)).await
            };
            let plain = ask_with(number).await;
            assert_eq!(plain.status, 200, "{number}: {}", plain.body);
            for value in [json!(true), json!(false), json!(null), json!("")] {
                let answer = ask_with(&with(number.clone(), "/pay_order_info", value)).await;
                assert_eq!(anonymous(&answer), anonymous(&plain), "{number}");
                assert_eq!(answer.body.get("payOrder"), None, "{number}");
            }
        }
    }
}

#[tokio::test]
async fn an_unknown_order_is_2001() {
    let (shop, _) = shop().await;
    for number in [by_number("2107151010101541009"), json!({"transaction_id": "4200001"})] {
        let answer = query(&open_layer(&shop), &number).await;
        assert_eq!(answer.code(), (404, &json!(2001)), "{number}");
        assert_eq!(answer.body["error"], "no_such_order");
    }
}

#[tokio::test]
async fn with_a_caller_token_only_its_holder_may_ask() {
    let (shop, transaction_id) = shop().await;
    let layer = PaymentLayer::new(shop.engine.clone(), Pricing::caller_token(TOKEN).unwrap());
    for number in [by_number(NO), by_number("unknown-1"), json!({"transaction_id": transaction_id})]
    {
        assert_eq!(query(&layer, &number).await.code(), (401, &json!(4005)), "{number}");
    }
    let invalid = json!({});
    assert_eq!(query(&layer, &invalid).await.code(), (401, &json!(4005)), "the token comes first");
    let authorised = || request().header("authorization", format!("Bearer {TOKEN}"));
    let refused = ask(&layer, create_as(authorised(), &invalid)).await;
    assert_eq!(refused.code(), (422, &json!(1001)));
    assert_eq!(ask(&layer, create_as(authorised(), &by_number(NO))).await.code(), (200, &json!(0)));
}

/// What the shop signed for the order `no`, which ended an hour before the shop's time.
fn quote(no: &str, more: &Value) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let mut claims = json!({
        "out_trade_no": no, "total_fee": 100, "subject": "tea", "type": "goods",
        "exp": 1_763_896_400,
    });
    let more = more.as_object().unwrap().clone();
    claims.as_object_mut().unwrap().extend(more);
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&json!({"alg": "HS256"})), part(&claims));
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, QUOTE_SECRET.as_bytes());
    let tag = aws_lc_rs::hmac::sign(&key, signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))
}

#[tokio::test]
async fn the_orders_quote_lets_ask_also_when_it_has_expired() {
    let (shop, transaction_id) = shop().await;
    let layer = PaymentLayer::new(shop.engine.clone(), Pricing::quote(QUOTE_SECRET).unwrap());
    let own = quote(NO, &json!({}));
    let others = quote(OTHER_NO, &json!({}));
    let unknown = quote("2107151010101541009", &json!({}));
    let by_id = |quote: &str| json!({"transaction_id": transaction_id, "quote": quote});
    let ended = |seconds: i64| quote(NO, &json!({"exp": 1_763_900_000 - seconds}));
    let rows = [
        (json!({"out_trade_no": NO, "quote": own}), (200, 0)),
        (by_id(&own), (200, 0)),
        (json!({"out_trade_no": OTHER_NO, "quote": others}), (200, 2002)),
        (json!({"out_trade_no": NO, "quote": others}), (401, 4005)),
        (by_id(&others), (404, 2001)),
        (by_id(&unknown), (404, 2001)),
        (json!({"transaction_id": "4200001", "quote": own}), (404, 2001)),
        (json!({"out_trade_no": "2107151010101541009", "quote": unknown}), (404, 2001)),
        (by_number(NO), (401, 4005)),
        (json!({"out_trade_no": NO, "quote": format!("{own}x")}), (401, 4005)),
        (json!({"out_trade_no": NO, "quote": quote(NO, &json!({"exp": null}))}), (401, 4005)),
        (json!({"out_trade_no": NO, "quote": quote(NO, &json!({"subject": null}))}), (401, 4005)),
        (json!({"out_trade_no": NO, "quote": ended(7 * 86_400)}), (200, 0)),
        (json!({"out_trade_no": NO, "quote": ended(7 * 86_400 + 1)}), (401, 4005)),
    ];
    for (body, (status, code)) in rows {
        assert_eq!(query(&layer, &body).await.code(), (status, &json!(code)), "{body}");
    }
    let (mine, nobodys) = (
        query(&layer, &by_id(&others)).await,
        query(&layer, &json!({"transaction_id": "4200001", "quote": others})).await,
    );
    assert_eq!(anonymous(&mine), anonymous(&nobodys), "nothing tells them apart");
}

/// A layer whose shop lets the buyer with this cookie ask for `NO`, and counts its questions.
fn asking(shop: &Shop) -> (PaymentLayer, Arc<AtomicUsize>, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let data = Arc::new(Mutex::new(Vec::new()));
    let (count, keep) = (asked.clone(), data.clone());
    let pricing = Pricing::callback(move |question: PriceQuery| {
        count.fetch_add(1, Ordering::SeqCst);
        keep.lock().unwrap().push(question.data.as_str().to_owned());
        async move {
            assert_eq!(question.operation, PriceOperation::QueryPayment);
            let cookie = question.cookie.as_ref().and_then(|it| it.to_str().ok());
            match (cookie, question.out_trade_no.as_str()) {
                (Some("sid=mine"), NO) | (None, NO) => Ok(Price::allow()),
                (Some("sid=whole"), no) => Price::of(&json!({"out_trade_no": no})),
                (Some("sid=wrong"), _) => Price::of(&json!({"out_trade_no": "another-1"})),
                (Some("sid=down"), _) => Err(PricingError::unavailable("the database")),
                _ => Err(PricingError::refused(403, 40_301, "not yours")),
            }
        }
    });
    let layer = PaymentLayer::new(shop.engine.clone(), pricing)
        .peer_addr(|parts| parts.extensions.get::<SocketAddr>().copied());
    (layer, asked, data)
}

async fn query_as(layer: &PaymentLayer, cookie: &str, body: &Value) -> Answer {
    ask(layer, create_as(request().header("cookie", cookie), body)).await
}

#[tokio::test]
async fn the_shop_says_who_may_ask() {
    let (shop, transaction_id) = shop().await;
    let (layer, _, data) = asking(&shop);
    let by_id = json!({ "transaction_id": transaction_id });
    let unknown = json!({"transaction_id": "4200001"});
    let rows = [
        ("sid=mine", by_number(NO), (200, 0)),
        ("sid=mine", by_id.clone(), (200, 0)),
        ("sid=whole", by_number(OTHER_NO), (200, 2002)),
        ("sid=whole", by_number("2107151010101541009"), (404, 2001)),
        ("sid=wrong", by_number(NO), (503, 5001)),
        ("sid=down", by_number(NO), (503, 5001)),
        ("sid=x", by_number(NO), (403, 40_301)),
        ("sid=x", by_number("2107151010101541009"), (403, 40_301)),
        ("sid=x", by_id.clone(), (404, 2001)),
        ("sid=x", unknown.clone(), (404, 2001)),
    ];
    for (cookie, body, (status, code)) in rows {
        let answer = query_as(&layer, cookie, &body).await;
        assert_eq!(answer.code(), (status, &json!(code)), "{cookie} {body}");
    }
    let others = query_as(&layer, "sid=x", &by_id).await;
    let nobodys = query_as(&layer, "sid=x", &unknown).await;
    assert_eq!(anonymous(&others), anonymous(&nobodys), "nothing tells them apart");
    let data = data.lock().unwrap();
    assert_eq!(data[0], format!(r#"{{"out_trade_no":"{NO}"}}"#));
    let by_both = format!(r#"{{"out_trade_no":"{NO}","transaction_id":"{transaction_id}"}}"#);
    assert!(data.contains(&by_both), "{data:?}");
}

#[tokio::test]
async fn a_yes_holds_for_a_minute_for_this_order_and_these_credentials() {
    let (shop, transaction_id) = shop().await;
    let (layer, asked, _) = asking(&shop);
    let ask_as = async |cookie: &str, body: &Value| {
        let before = asked.load(Ordering::SeqCst);
        query_as(&layer, cookie, body).await;
        asked.load(Ordering::SeqCst) - before
    };
    let by_id = json!({ "transaction_id": transaction_id });
    assert_eq!(ask_as("sid=mine", &by_number(NO)).await, 1);
    assert_eq!(ask_as("sid=mine", &by_number(NO)).await, 0);
    assert_eq!(ask_as("sid=mine", &by_id).await, 0, "the same order");
    assert_eq!(ask_as("sid=whole", &by_number(NO)).await, 1, "somebody else");
    assert_eq!(ask_as("sid=whole", &by_number(OTHER_NO)).await, 1, "another order");
    for _ in 0..2 {
        assert_eq!(ask_as("sid=x", &by_number(NO)).await, 1, "a no is not remembered");
    }
    shop.clock.advance_ms(60_000);
    assert_eq!(ask_as("sid=mine", &by_number(NO)).await, 1, "a minute is over");
}

#[tokio::test]
async fn a_yes_to_a_client_without_credentials_is_not_remembered() {
    let (shop, _) = shop().await;
    let (layer, asked, _) = asking(&shop);
    for questions in 1..=3 {
        let peer = SocketAddr::from(([10, 0, 0, 1], 50_000));
        let answer = ask(&layer, create_as(request().extension(peer), &by_number(NO))).await;
        assert_eq!(answer.status, 200);
        assert_eq!(asked.load(Ordering::SeqCst), questions);
    }
}

#[tokio::test]
async fn a_yes_holds_for_the_address_and_the_client_that_asked() {
    let (shop, _) = shop().await;
    let (layer, asked, _) = asking(&shop);
    let rows = [(1, "one", 1), (1, "one", 1), (2, "one", 2), (1, "two", 3), (1, "one", 3)];
    for (address, device, questions) in rows {
        let peer = SocketAddr::from(([10, 0, 0, address], 50_000));
        let info = format!("%7B%22deviceId%22%3A%22{device}%22%7D");
        let request = request().header("cookie", "sid=mine").header("x-client-info", info);
        let answer = ask(&layer, create_as(request.extension(peer), &by_number(NO))).await;
        assert_eq!(answer.status, 200);
        assert_eq!(asked.load(Ordering::SeqCst), questions, "{address} {device}");
    }
}

#[tokio::test]
async fn a_listed_origins_page_may_ask() {
    let (shop, _) = shop().await;
    let layer = open_layer(&shop).cors_origins(["https://shop.example.com".to_owned()]);
    let preflight = http::Request::options("/pay/queryPayment")
        .header("origin", "https://shop.example.com")
        .header("access-control-request-method", "POST");
    let answer = ask(&layer, empty(preflight)).await;
    assert_eq!((answer.status, answer.header("access-control-allow-methods")), (204, Some("POST")));
    let asking = request().header("origin", "https://shop.example.com");
    let answer = ask(&layer, create_as(asking, &by_number(NO))).await;
    let allowed = answer.header("access-control-allow-origin");
    assert_eq!((answer.status, allowed), (200, Some("https://shop.example.com")));
}
