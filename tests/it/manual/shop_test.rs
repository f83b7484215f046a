//! The test of a shop that the manual shows: it is the text below, from `use` to the last brace.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::{Router, routing::get};
use http::Request;
use paygate::mock::{InProcess, SimulatedPurchase, keys};
use paygate::{Engine, EventType, Memory, OrderEvent, OrderNumber, PaymentLayer, Pricing};
use paygate::{ProviderId, Query, SystemClock, wxpay::V3};
use tower::ServiceExt;

const ORDER: &str = r#"{"provider": "wxpay", "isPC": true, "data": {
    "out_trade_no": "2107151010101541001", "total_fee": 1, "subject": "tea", "type": "goods"}}"#;

#[tokio::test]
async fn a_paid_order_is_shipped() -> Result<(), Box<dyn std::error::Error>> {
    // The shop. A handler gets its state by an Arc: here the list of what it shipped.
    let shipped = Arc::new(Mutex::new(Vec::new()));
    let list = shipped.clone();
    let ship = move |paid: OrderEvent| {
        let list = list.clone();
        async move { list.lock().unwrap().push(paid.out_trade_no().to_string()) }
    };
    let providers = InProcess::open(None, Arc::new(SystemClock))?;
    let engine = Engine::builder()
        .store(Memory::new())
        .provider(V3::new(keys::wxpay_merchant("http://127.0.0.1/".parse()?))?)
        .transport(providers.clone())
        .public_url("https://shop.example.com".parse()?)
        .simulated()
        .on(EventType::PaymentSucceeded, "goods", ship)
        .start()
        .await?;
    let payments = PaymentLayer::new(engine.clone(), Pricing::danger_trust_every_caller());
    let app = Router::new().route("/", get(|| async { "tea" })).layer(payments);

    // The buyer orders at a PC, and pays.
    let request = Request::post("/pay/createPayment")
        .header("host", "shop.example.com")
        .header("content-type", "application/json")
        .body(Body::from(ORDER))?;
    assert_eq!(app.clone().oneshot(request).await?.status(), 200);
    let number = "2107151010101541001";
    providers.pay(&SimulatedPurchase::of_order(ProviderId::Wxpay, number))?;

    // WeChat Pay notifies the app, and the handler runs.
    assert_eq!(providers.deliver_to(&app).await, [200]);
    let number = OrderNumber::OutTradeNo(number.parse()?);
    let wait = Some(Duration::from_secs(40));
    let paid = engine.query(Query { number, await_accepted: wait }).await?;
    assert_eq!(paid.user_order_success, Some(true));
    assert_eq!(*shipped.lock().unwrap(), ["2107151010101541001"]);
    engine.shutdown().await;
    Ok(())
}

#[test]
fn the_manual_shows_this_test() {
    let chapter = &super::blocks::documents()["src/manual/layer_and_library.md"];
    let blocks = super::blocks::code_blocks(chapter);
    let shown = blocks.into_iter().find(|block| block.text.contains("#[tokio::test]")).unwrap();
    assert!(include_str!("shop_test.rs").contains(&shown.text), "it shows:\n{}", shown.text);
}
