//! Handlers in Rust: typed events, and a handler for every type of order.

use std::sync::{Arc, Mutex};

use paygate::domain::{EventType, ProviderId, RefundState};
use paygate::engine::{OrderEvent, RefundRequest};
use paygate::mock::keys;
use paygate::testing::guard::schema;
use paygate::{Fen, OutTradeNo};
use serde_json::{Value, json};

use crate::support::requests::NO;
use crate::support::shop::{Shop, body, with};
use crate::support::webhook::shop_with_webhook;

/// An order of `kind` that its buyer paid, and whose events were sent.
async fn paid(shop: &Shop, provider: ProviderId, kind: &str) {
    let order = with(body(provider, NO, 100), "/data/type", json!(kind));
    let order = with(order, "/data/user_id", json!("u-1"));
    let order = with(order, "/data/custom", json!({"recharge_balance": 100}));
    let created = shop.create(&order).await.unwrap();
    shop.pay(&created).unwrap();
    assert_eq!(shop.notify().await, [Ok(())]);
    shop.engine.dispatch().await;
}

#[tokio::test]
async fn a_handler_for_any_type_gets_what_no_handler_of_its_own_type_takes() {
    for (kind, taken_by) in [("goods", "own"), ("vip", "any"), ("recharge", "any")] {
        let calls = Arc::new(Mutex::new(Vec::new()));
        let record = |name: &'static str| {
            let calls = calls.clone();
            move |event: OrderEvent| {
                let calls = calls.clone();
                async move {
                    calls.lock().unwrap().push((name, event.order_type().to_owned()));
                }
            }
        };
        let (own, any) = (record("own"), record("any"));
        let shop = Shop::open_as(|engine| {
            let paid = EventType::PaymentSucceeded;
            engine.on_any(paid, any).on(paid, "goods", own)
        })
        .await;
        paid(&shop, ProviderId::Wxpay, kind).await;
        assert_eq!(*calls.lock().unwrap(), [(taken_by, kind.to_owned())]);
        let number: OutTradeNo = NO.parse().unwrap();
        let queried = shop.engine.query(number).await.unwrap();
        assert_eq!(queried.user_order_success, Some(true), "{kind}");
    }
}

#[tokio::test]
async fn an_event_names_its_order_payment_and_refund() {
    for provider in [ProviderId::Wxpay, ProviderId::Alipay] {
        let (shop, webhook) = shop_with_webhook().await;
        paid(&shop, provider, "goods").await;
        let event = OrderEvent::try_from(&webhook.received().remove(0)).unwrap();
        assert_eq!(event.event_type(), EventType::PaymentSucceeded);
        assert_eq!((event.out_trade_no().as_str(), event.order_type()), (NO, "goods"));
        assert_eq!((event.total_fee().fen(), event.paid_fee()), (100, Fen::new(100)));
        let payment = shop.order(NO).await.winning_payment().unwrap().clone();
        assert_eq!(event.transaction_id(), Some(payment.transaction_id));
        assert_eq!(event.paid_at(), Some(payment.paid_at));
        assert_eq!((event.provider(), event.pid().as_str()), (Some(provider), "default"));
        assert!(event.pay_type().is_some_and(|it| it.provider() == provider));
        assert_eq!(event.user_id(), Some("u-1"));
        assert!(event.openid().is_some(), "{provider}: the buyer at the provider");
        assert_eq!(event.custom(), Some(&json!({"recharge_balance": 100})));
        assert_eq!((event.refund(), event.is_live()), (None, false));
        assert_eq!(event.body()["data"]["recharge_balance"], 100);

        let wanted = RefundRequest {
            out_trade_no: NO.parse().unwrap(),
            out_refund_no: Some("return-1".to_owned()),
            refund_fee: Fen::new(30),
            refund_desc: None,
            transaction_id: None,
        };
        let mut refunded = shop.engine.refund(wanted.clone()).await.unwrap();
        while refunded.refund.state == RefundState::Processing {
            shop.clock.advance_ms(60_000);
            shop.engine.reconcile().await;
            refunded = shop.engine.query_refund("return-1").await.unwrap();
        }
        shop.engine.dispatch().await;
        let event = webhook.received().pop().unwrap();
        let event = OrderEvent::try_from(&event).unwrap();
        assert_eq!(event.event_type(), EventType::RefundSucceeded);
        let refund = event.refund().unwrap();
        assert_eq!((refund.out_refund_no.as_str(), refund.refund_fee.fen()), ("return-1", 30));
        assert_eq!(refund.state, RefundState::Success);
        assert_eq!(refund.refunded_at, refunded.refund.refunded_at);
    }
}

/// The `data` of the first event of an order whose request has this context and `custom`.
async fn event_data(provider: ProviderId, context: Value, custom: Value) -> (Value, String) {
    let (shop, webhook) = shop_with_webhook().await;
    let order = with(body(provider, NO, 100), "/context", context);
    let created = shop.create(&with(order, "/data/custom", custom)).await.unwrap();
    shop.clock.advance_ms(1_000);
    shop.pay(&created).unwrap();
    shop.clock.advance_ms(1_000);
    shop.notify().await;
    shop.engine.dispatch().await;
    let event = webhook.received().remove(0);
    let mut body: Value = serde_json::from_str(&event.body).unwrap();
    let is_valid = schema::accepts("event-payment-succeeded", event.body.as_bytes());
    assert_eq!(is_valid, Some(true), "{}", event.body);
    assert_eq!(body["version"], 1);
    (body["data"].take(), format!("{:?}", OrderEvent::try_from(&event).unwrap()))
}

#[tokio::test]
async fn an_event_has_the_columns_of_vk_uni_pays_row_by_their_names() {
    let context = json!({"PLATFORM": "app", "APPID": "__UNI__A", "DEVICEID": "1626"});
    for provider in [ProviderId::Wxpay, ProviderId::Alipay] {
        let (data, debug) = event_data(provider, context.clone(), json!({"a": 1})).await;
        let is_wxpay = provider == ProviderId::Wxpay;
        let provider_appid =
            if is_wxpay { keys::WXPAY_APP_APP_PLUS } else { keys::ALIPAY_APP_APP_PLUS };
        for (name, value) in [
            ("appid", json!("__UNI__A")),
            ("provider_appid", json!(provider_appid)),
            ("mch_id", if is_wxpay { json!(keys::MCH_ID) } else { json!(null) }),
            ("platform", json!("app-plus")),
            ("uni_platform", json!("app")),
            ("device_id", json!("1626")),
            ("client_ip", json!("114.114.114.114")),
            ("create_date", json!(1_763_900_000_000_u64)),
            ("pay_date", json!(1_763_900_001_000_u64)),
            ("notify_date", json!(1_763_900_002_000_u64)),
        ] {
            assert_eq!(data[name], value, "{provider} {name}");
        }
        assert!(!debug.contains("114.114") && !debug.contains("1626"), "for a log: {debug}");
    }
}

#[tokio::test]
async fn what_custom_says_of_the_client_is_the_shops_own() {
    let context = json!({"PLATFORM": "h5", "DEVICEID": "1626"});
    let custom = json!({"device_id": 7, "client_ip": "of the shop", "uni_platform": "kiosk"});
    let (data, _) = event_data(ProviderId::Wxpay, context, custom).await;
    assert_eq!((&data["device_id"], &data["client_ip"]), (&json!(7), &json!("of the shop")));
    assert_eq!((&data["uni_platform"], &data["platform"]), (&json!("kiosk"), &json!("h5")));
    assert!(data.get("appid").is_none(), "the client sent none");
}

#[tokio::test]
async fn a_handler_that_comes_after_the_start_gets_orders_of_every_type() {
    let shop = Shop::open_as(|it| it).await;
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = heard.clone();
    shop.engine.on_any(EventType::PaymentSucceeded, move |event| {
        hears.lock().unwrap().push(event.order_type().to_owned());
        std::future::ready(())
    });
    for (no, kind) in [("order-0001", "goods"), ("order-0002", "vip")] {
        let order = with(body(ProviderId::Wxpay, no, 100), "/data/type", json!(kind));
        let created = shop.create(&order).await.unwrap();
        shop.pay(&created).unwrap();
    }
    assert!(shop.notify().await.iter().all(Result::is_ok));
    shop.engine.dispatch().await;
    heard.lock().unwrap().sort_unstable();
    assert_eq!(*heard.lock().unwrap(), ["goods", "vip"]);
}
