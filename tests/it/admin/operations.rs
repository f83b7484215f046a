//! The admin operations: for who shows the token, and nobody else.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::Request;
use http::request::Builder;
use http_body_util::{BodyExt, Full};
use paygate::domain::{EventType, ProviderId};
use paygate::engine::OrderEvent;
use paygate::mock::InProcess;
use paygate::sidecar::admin::{Admin, AdminParts};
use paygate::sidecar::limit_counters::LimitCounters;
use paygate::sidecar::shutdown_channel;
use paygate::store::Memory;
use paygate::testing::guard::schema;
use paygate::{PaymentLayer, Pricing, Secret};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::store::unmatched::{added, unmatched};
use crate::support::endpoint::WebhookEndpoint;
use crate::support::notifications::{address, notification};
use crate::support::payment_layer::{NO, OTHER_NO, SECRET, by_number, opened, send};
use crate::support::shop::{ManualClock, Shop, body, with};

const TOKEN: &str = "an-admin-token-of-thirty-two-characters";

fn admin(shop: &Shop, token: Option<&str>) -> Admin {
    Admin::new(AdminParts {
        ready: Arc::new(|| Box::pin(async { true })),
        stopping: shutdown_channel().1,
        schemas: Vec::new(),
        engine: shop.engine.clone().into(),
        token: token.map(Secret::new),
        mount: "/pay".to_owned(),
        body_bytes_max: 1024,
        counters: LimitCounters::default(),
    })
}

/// The status and the JSON of an answer.
async fn ask(admin: &Admin, request: Request<Full<Bytes>>) -> (u16, Value) {
    let response = admin.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    (parts.status.as_u16(), serde_json::from_slice(&bytes).unwrap())
}

fn authorised(builder: Builder) -> Builder {
    builder.header("authorization", format!("Bearer {TOKEN}")).header("accept-language", "en")
}

async fn list(admin: &Admin, query: &str) -> (u16, Value) {
    let request = authorised(Request::get(format!("/pay/webhooks{query}")));
    ask(admin, request.body(Full::default()).unwrap()).await
}

async fn retry(admin: &Admin, id: &str) -> (u16, Value) {
    let request = authorised(Request::post(format!("/pay/webhooks/{id}/retry")));
    ask(admin, request.body(Full::default()).unwrap()).await
}

async fn query(admin: &Admin, body: &Value) -> (u16, Value) {
    let request = authorised(Request::post("/pay/queryPayment"));
    let request = request.header("content-type", "application/json");
    ask(admin, request.body(Full::from(body.to_string())).unwrap()).await
}

/// `NO` is paid by QR code; its event waits for somebody to tell it to.
async fn shop() -> Shop {
    let shop = Shop::open().await;
    let custom = json!({"cart": 7, "note": "两杯"});
    let wanted = with(body(ProviderId::Wxpay, NO, 100), "/data/custom", custom);
    let created = shop.create(&with(wanted, "/data/user_id", json!("u1"))).await.unwrap();
    shop.pay(&created).unwrap();
    let layer = PaymentLayer::new(shop.engine.clone(), Pricing::danger_trust_every_caller());
    let notification = notification(&shop, ProviderId::Wxpay, NO, &address(ProviderId::Wxpay));
    assert_eq!(send(&layer, notification).await.status(), 200);
    shop
}

const OPERATIONS: [(&str, &str); 8] = [
    ("GET", "/pay/payments"),
    ("POST", "/pay/queryPayment"),
    ("GET", "/pay/webhooks"),
    ("POST", "/pay/webhooks/evt_00000000000000000000000000000000/retry"),
    ("POST", "/pay/refund"),
    ("DELETE", "/pay/queryPayment"),
    ("POST", "/pay/nothing"),
    ("GET", "/pay/"),
];

#[tokio::test]
async fn without_the_token_no_operation_is_told_from_another() {
    let shop = Shop::open().await;
    let (open, closed) = (admin(&shop, Some(TOKEN)), admin(&shop, None));
    for (method, path) in OPERATIONS {
        for given in [None, Some("Bearer wrong"), Some(TOKEN), Some("Bearer "), Some("Basic x")] {
            let builder = Request::builder().method(method).uri(path);
            let builder = match given {
                Some(given) => builder.header("authorization", given),
                None => builder,
            };
            let request = || builder.body(Full::<Bytes>::default()).unwrap();
            let request = { request }();
            let (status, body) = ask(&open, request.clone()).await;
            assert_eq!((status, &body["code"]), (401, &json!(4005)), "{method} {path} {given:?}");
            let (status, body) = ask(&closed, request).await;
            assert_eq!((status, &body["error"]), (403, &json!("admin_disabled")), "{path}");
        }
        let request = authorised(Request::builder().method(method).uri(path));
        let (status, _) = ask(&closed, request.body(Full::default()).unwrap()).await;
        assert_eq!(status, 403, "no token is right where none is configured");
    }
}

#[tokio::test]
async fn what_there_is_not_is_404_and_a_wrong_method_is_told_the_right_one() {
    let shop = Shop::open().await;
    let admin = admin(&shop, Some(TOKEN));
    for (method, path, status) in [
        ("DELETE", "/pay/queryPayment", 405),
        ("GET", "/pay/queryPayment", 405),
        ("POST", "/pay/webhooks", 405),
        ("POST", "/pay/payments", 405),
        ("GET", "/pay/payments/", 404),
        ("GET", "/pay/webhooks/evt_00000000000000000000000000000000/retry", 405),
        ("POST", "/pay/webhooks/x/retry", 404),
        ("POST", "/pay/nothing", 404),
        ("POST", "/pay/createPayment", 404),
        ("POST", "/pay//queryPayment", 404),
        ("POST", "/payments", 404),
        ("POST", "/pay/refund", 415),
        ("GET", "/pay/refund", 405),
        ("GET", "/pay/queryRefund", 405),
        ("PUT", "/pay/closePayment", 405),
        ("POST", "/pay/refund/", 404),
        ("POST", "/pay/closepayment", 404),
    ] {
        let request = authorised(Request::builder().method(method).uri(path));
        let (got, body) = ask(&admin, request.body(Full::default()).unwrap()).await;
        assert_eq!(got, status, "{method} {path}: {body}");
    }
}

#[tokio::test]
async fn an_unknown_event_is_answered_as_an_event_and_not_as_a_path() {
    let shop = shop().await;
    let admin = admin(&shop, Some(TOKEN));
    for id in ["evt_00000000000000000000000000000000", "x", "evt_"] {
        let (status, answer) = retry(&admin, id).await;
        let text = answer["msg"].as_str().unwrap();
        assert_eq!((status, text), (404, "there is no event with this id"), "{id}");
        assert_eq!((&answer["code"], &answer["error"]), (&json!(404), &json!("not_found")));
    }
    assert_eq!(retry(&admin, "x/y").await.1["msg"], "there is no such path");
}

#[tokio::test]
async fn a_caller_without_the_admin_token_learns_which_variable_and_header_have_it() {
    let shop = shop().await;
    for (token, status) in [(None, 403), (Some(TOKEN), 401)] {
        let admin = admin(&shop, token);
        for (language, is_english) in [("en", true), ("zh", false)] {
            let request = Request::get("/pay/webhooks").header("accept-language", language);
            let (got, answer) = ask(&admin, request.body(Full::default()).unwrap()).await;
            let text = answer["msg"].as_str().unwrap();
            assert_eq!((got, text.is_ascii()), (status, is_english), "{text}");
            assert!(text.contains("PAYGATE_ADMIN_TOKEN"), "{text}");
            assert!(token.is_none() || text.contains("Authorization"), "{text}");
        }
    }
}

#[tokio::test]
async fn a_query_shows_the_orders_own_record_when_asked_for() {
    let shop = shop().await;
    let admin = admin(&shop, Some(TOKEN));
    let (status, plain) = query(&admin, &by_number(NO)).await;
    assert_eq!((status, &plain["code"], &plain["payOrder"]), (200, &json!(0), &Value::Null));
    let whole = json!({"out_trade_no": NO, "pay_order_info": true});
    let (status, answer) = query(&admin, &whole).await;
    assert_eq!((status, &answer["orderPaid"]), (200, &json!(true)));
    let text = answer.to_string();
    assert_eq!(schema::accepts("query-payment-reply", text.as_bytes()), Some(true), "{text}");
    let row = &answer["payOrder"];
    for (name, value) in [
        ("_id", json!(NO)),
        ("out_trade_no", json!(NO)),
        ("transaction_id", answer["transaction_id"].clone()),
        ("status", json!(1)),
        ("type", json!("goods")),
        ("pid", json!("default")),
        ("provider", json!("wxpay")),
        ("pay_type", json!("wxpay_h5")),
        ("provider_appid", json!("wxmockqr00000001")),
        ("mch_id", json!(paygate::mock::keys::MCH_ID)),
        ("appid", Value::Null),
        ("platform", json!("h5")),
        ("uni_platform", json!("web")),
        ("description", json!("tea")),
        ("total_fee", json!(100)),
        ("refund_fee", json!(0)),
        ("refund_list", json!([])),
        ("user_id", json!("u1")),
        ("openid", json!("oUpF8")),
        ("client_ip", json!("114.114.114.114")),
        ("custom", json!({"cart": 7, "note": "两杯"})),
        ("create_date", json!(1_763_900_000_000_u64)),
        ("pay_date", json!(1_763_900_000_000_u64)),
        ("notify_date", json!(1_763_900_000_000_u64)),
        ("user_order_success", Value::Null),
    ] {
        assert_eq!(row[name], value, "{name} of {row}");
    }
    assert_eq!(row["payments"][0]["role"], "winning");

    opened(&shop, ProviderId::Alipay, OTHER_NO).await;
    let whole = json!({"out_trade_no": OTHER_NO, "pay_order_info": true});
    let (_, unpaid) = query(&admin, &whole).await;
    assert_eq!((&unpaid["code"], &unpaid["payOrder"]["status"]), (&json!(2002), &json!(0)));
    assert_eq!(unpaid["payOrder"]["pay_date"], Value::Null);
    let text = unpaid.to_string();
    assert_eq!(schema::accepts("query-payment-reply", text.as_bytes()), Some(true), "{text}");
}

#[tokio::test]
async fn an_admins_question_is_judged_as_anybodys() {
    let shop = shop().await;
    let admin = admin(&shop, Some(TOKEN));
    assert_eq!(query(&admin, &by_number("2107151010101541009")).await.1["code"], 2001);
    assert_eq!(query(&admin, &json!({})).await.0, 422);
    assert_eq!(query(&admin, &json!({"out_trade_no": NO, "x": "x".repeat(2000)})).await.0, 413);
    let untyped = authorised(Request::post("/pay/queryPayment"));
    assert_eq!(ask(&admin, untyped.body(Full::from("{}")).unwrap()).await.0, 415);
    let twice = authorised(Request::post("/pay/queryPayment"))
        .header("content-type", "application/json")
        .body(Full::from(r#"{"out_trade_no":"abc123","out_trade_no":"abc124"}"#));
    assert_eq!(ask(&admin, twice.unwrap()).await.0, 400);
}

#[tokio::test]
async fn an_event_that_nobody_takes_is_parked_and_sent_again_when_told() {
    let shop = shop().await;
    let admin = admin(&shop, Some(TOKEN));
    let (status, answer) = list(&admin, "?state=pending").await;
    assert_eq!(status, 200);
    assert_eq!(answer["webhooks"][0]["next"], "2025-11-23T12:13:20.000Z");
    assert_eq!(list(&admin, "?state=parked").await.1["webhooks"], json!([]));

    shop.engine.dispatch().await;
    let (_, answer) = list(&admin, "?state=parked").await;
    let text = answer.to_string();
    assert_eq!(schema::accepts("webhooks-reply", text.as_bytes()), Some(true), "{text}");
    let event = &answer["webhooks"][0];
    let id = event["id"].as_str().unwrap();
    let expected = json!({
        "id": id, "type": "payment.succeeded", "out_trade_no": NO, "state": "parked", "tries": 1,
        "next": null,
    });
    assert_eq!((event, answer["webhooks"].as_array().unwrap().len()), (&expected, 1));
    assert_eq!(list(&admin, "").await.1["webhooks"][0], expected);

    assert_eq!(retry(&admin, id).await, (200, json!({"code": 0})));
    let (_, again) = list(&admin, "?state=pending").await;
    let event = &again["webhooks"][0];
    assert_eq!((&event["id"], &event["tries"]), (&json!(id), &json!(0)));
}

#[tokio::test]
async fn an_accepted_event_is_listed_and_can_be_told_again() {
    let mut endpoint = WebhookEndpoint::start().await;
    let webhook = paygate::Webhook::new(&endpoint.url(), SECRET).unwrap();
    let shop = Shop::open_as(|builder| builder.webhook(webhook)).await;
    let created = opened(&shop, ProviderId::Wxpay, NO).await;
    shop.pay(&created).unwrap();
    let layer = PaymentLayer::new(shop.engine.clone(), Pricing::danger_trust_every_caller());
    let notification = notification(&shop, ProviderId::Wxpay, NO, &address(ProviderId::Wxpay));
    assert_eq!(send(&layer, notification).await.status(), 200);
    shop.engine.dispatch().await;
    let first = endpoint.next().await;
    let admin = admin(&shop, Some(TOKEN));
    let (_, answer) = list(&admin, "?state=accepted").await;
    let id = answer["webhooks"][0]["id"].as_str().unwrap();
    assert_eq!(id, first.header("webhook-id"));
    assert_eq!(retry(&admin, id).await.0, 200);
    shop.engine.dispatch().await;
    let again = endpoint.next().await;
    assert_eq!((again.header("webhook-id"), &again.body), (id, &first.body));
}

#[tokio::test]
async fn a_list_of_no_state_there_is_is_refused() {
    let admin = admin(&Shop::open().await, Some(TOKEN));
    for ill in ["?state=waiting", "?state=", "?state=parked&state=pending", "?x=1", "?state"] {
        assert_eq!(list(&admin, ill).await.0, 422, "{ill}");
    }
    let (_, answer) = list(&admin, "?stat=parked").await;
    let expected = json!([{
        "path": "/stat", "rule": "additionalProperties",
        "message": "there is no field stat; did you mean state?",
    }]);
    assert_eq!(answer["errors"], expected);
    let (_, answer) = list(&admin, "?state=waiting").await;
    assert_eq!(answer["msg"], "state must be pending, accepted or parked, once");
}

#[tokio::test]
async fn a_payment_of_no_order_is_listed_and_told_to_its_handler() {
    let store = Arc::new(Memory::new());
    let clock = ManualClock::new();
    let providers = InProcess::open(None, Arc::new(clock)).unwrap();
    let shop = Shop::over(ManualClock::new(), store.clone(), providers, |it| it).await;
    let admin = admin(&shop, Some(TOKEN));
    let payments = async |query: &str| {
        let request = authorised(Request::get(format!("/pay/payments{query}")));
        ask(&admin, request.body(Full::default()).unwrap()).await
    };
    assert_eq!(payments("").await, (200, json!({"code": 0, "payments": []})));
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (hears, payment) = (heard.clone(), unmatched("4200001", 1_763_900_000_000));
    shop.engine.on(EventType::PaymentUnmatched, "unmatched", move |event: OrderEvent| {
        let heard = hears.clone();
        async move { heard.lock().unwrap().push(event.out_trade_no().to_string()) }
    });
    assert_eq!(added(&*store, &payment).await, Ok(true));
    shop.engine.dispatch().await;
    assert_eq!(*heard.lock().unwrap(), ["of-no-order"]);
    assert_eq!(shop.engine.unmatched(1).await.unwrap(), [payment]);
    for query in ["", "?state=unmatched"] {
        let (status, answer) = payments(query).await;
        let text = answer.to_string();
        assert_eq!(status, 200, "{text}");
        assert_eq!(schema::accepts("payments-reply", text.as_bytes()), Some(true), "{text}");
        let expected = json!([{
            "state": "unmatched", "provider": "wxpay", "pid": "default",
            "account": "1900000001", "channel_trade_no": "of-no-order",
            "transaction_id": "4200001", "total_fee": 100, "currency": null,
            "pay_date": 1_763_899_999_999_u64, "known": 1_763_900_000_000_u64,
        }]);
        assert_eq!(answer["payments"], expected);
    }
    for ill in ["?state=paid", "?state=", "?x=1", "?state=unmatched&state=unmatched"] {
        let (status, answer) = payments(ill).await;
        assert_eq!((status, &answer["code"]), (422, &json!(4000)), "{ill}");
    }
}
