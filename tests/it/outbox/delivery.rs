//! The outbox: the shop hears of everything at least once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use paygate::Clock;
use paygate::domain::ProviderId::{Alipay, Wxpay};
use paygate::domain::{DeliveryState, EventId, EventType, OutboxEvent, ProviderId};
use paygate::engine::{OrderEvent, OrderNumber, Query};
use paygate::error::Kind;
use paygate::mock::InProcess;
use paygate::store::Memory;
use paygate::testing::guard::schema;
use serde_json::{Value, json};

use crate::support::requests::{MINUTE, NO, qr_with_custom};
use crate::support::shop::{ManualClock, Shop, body};
use crate::support::webhook::{RecordingWebhook, shop_with_webhook};

/// A paid order whose event waits in the outbox.
async fn paid(shop: &Shop) {
    let created = shop.create(&qr_with_custom(Wxpay)).await.unwrap();
    shop.pay(&created).unwrap();
    assert_eq!(shop.notify().await, [Ok(())]);
}

#[tokio::test]
async fn an_event_says_what_was_paid_and_carries_custom_whole_and_spread() {
    for provider in [Wxpay, Alipay] {
        let (shop, webhook) = shop_with_webhook().await;
        let created = shop.create(&qr_with_custom(provider)).await.unwrap();
        let paid = shop.pay(&created).unwrap();
        shop.notify().await;
        shop.engine.dispatch().await;
        let event = webhook.received().remove(0);
        let body: Value = serde_json::from_str(&event.body).unwrap();
        let is_valid = schema::accepts("event-payment-succeeded", event.body.as_bytes());
        assert_eq!(is_valid, Some(true), "{provider}: {}", event.body);
        assert_eq!(body["type"], "payment.succeeded");
        assert_eq!(body["livemode"], false);
        let data = &body["data"];
        assert_eq!(data["out_trade_no"], NO);
        assert_eq!(data["channel_trade_no"], NO);
        assert_eq!(data["transaction_id"], json!(paid.transaction_id));
        assert_eq!((&data["total_fee"], &data["status"]), (&json!(100), &json!(1)));
        assert_eq!(data["custom"], json!({"coupon": "spring", "lines": [1, 2]}));
        assert_eq!((&data["coupon"], &data["lines"]), (&json!("spring"), &json!([1, 2])));
        assert!(body["verifyResult"].is_object(), "the provider's own words");
    }
}

/// The `data` of the event of a payment whose request had `fields`.
async fn event_data(provider: ProviderId, fields: &Value) -> Value {
    let (shop, webhook) = shop_with_webhook().await;
    let mut request = body(provider, NO, 100);
    let data = request["data"].as_object_mut().unwrap();
    data.extend(fields.as_object().unwrap().clone());
    let created = shop.create(&request).await.unwrap();
    shop.pay(&created).unwrap();
    shop.notify().await;
    shop.engine.dispatch().await;
    let event = webhook.received().remove(0);
    let is_valid = schema::accepts("event-payment-succeeded", event.body.as_bytes());
    assert_eq!(is_valid, Some(true), "{provider}: {}", event.body);
    serde_json::from_str::<Value>(&event.body).unwrap()["data"].take()
}

#[tokio::test]
async fn custom_says_beside_the_orders_fields_what_the_request_left_out() {
    let custom = json!({"user_id": "u1", "recharge_balance": 100});
    for provider in [Wxpay, Alipay] {
        let data = event_data(provider, &json!({"custom": custom, "type": "recharge"})).await;
        assert_eq!((&data["user_id"], &data["recharge_balance"]), (&json!("u1"), &json!(100)));
        assert_eq!(data["custom"], custom);
        assert_eq!((&data["out_trade_no"], &data["total_fee"]), (&json!(NO), &json!(100)));
        assert_eq!((&data["type"], &data["status"]), (&json!("recharge"), &json!(1)));
        assert_eq!((&data["nickname"], &data["body"]), (&Value::Null, &Value::Null));

        let absent = json!({"custom": {"user_id": 7, "nickname": "n", "body": {"a": 1}},
                            "user_id": "", "nickname": null});
        let data = event_data(provider, &absent).await;
        assert_eq!((&data["user_id"], &data["nickname"]), (&json!(7), &json!("n")));
        assert_eq!(data["body"], json!({"a": 1}));

        let given = json!({"custom": {"recharge_balance": 100}, "user_id": "u2", "nickname": "n",
                           "body": "tea"});
        let data = event_data(provider, &given).await;
        assert_eq!((&data["user_id"], &data["nickname"]), (&json!("u2"), &json!("n")));
        assert_eq!((&data["body"], &data["recharge_balance"]), (&json!("tea"), &json!(100)));
    }
}

#[tokio::test]
async fn a_shop_that_is_down_for_a_day_hears_of_it_when_it_is_back() {
    let (shop, webhook) = shop_with_webhook().await;
    webhook.refuse(usize::MAX);
    paid(&shop).await;
    assert_eq!(shop.engine.dispatch().await, 1);
    assert_eq!(shop.engine.dispatch().await, 0, "not at once");
    shop.clock.advance_ms(5_000);
    assert_eq!(shop.engine.dispatch().await, 1, "the first retry is within 5 s");
    for _ in 0..24 * 60 {
        shop.clock.advance_ms(MINUTE);
        shop.engine.dispatch().await;
    }
    let tries = webhook.received().len();
    assert!((20..=60).contains(&tries), "{tries} in a day");
    webhook.refuse(0);
    shop.clock.advance_ms(75 * MINUTE);
    assert_eq!(shop.engine.dispatch().await, 1);
    let ids: std::collections::BTreeSet<EventId> =
        webhook.received().into_iter().map(|it| it.id).collect();
    assert_eq!(ids.len(), 1, "an event keeps its number");
    let bodies: std::collections::BTreeSet<String> =
        webhook.received().into_iter().map(|it| it.body).collect();
    assert_eq!(bodies.len(), 1, "and its words");
    shop.clock.advance_ms(24 * 60 * MINUTE);
    assert_eq!(shop.engine.dispatch().await, 0);
}

/// Dispatches every quarter of an hour until the event is parked, and returns it.
async fn until_parked(shop: &Shop) -> OutboxEvent {
    for _ in 0..4 * 24 * 3 {
        shop.engine.dispatch().await;
        if let Some(event) = shop.engine.events(DeliveryState::Parked, 9).await.unwrap().pop() {
            return event;
        }
        shop.clock.advance_ms(15 * MINUTE);
    }
    panic!("an event that nobody accepts is never parked");
}

#[tokio::test]
async fn an_event_that_nobody_accepts_is_parked_and_sent_when_somebody_asks_for_it() {
    let (shop, webhook) = shop_with_webhook().await;
    webhook.refuse(usize::MAX);
    paid(&shop).await;
    let began = shop.clock.now();
    let event = until_parked(&shop).await;
    assert!(event.tries >= 34, "{} tries", event.tries);
    assert!(shop.clock.now().since(began) >= 24 * 60 * MINUTE, "not before a day");
    shop.clock.advance_ms(26 * 60 * MINUTE);
    assert_eq!(shop.engine.dispatch().await, 0, "it is not sent by itself");
    webhook.refuse(0);
    shop.engine.retry_event(&event.id).await.unwrap();
    assert_eq!(shop.engine.dispatch().await, 1);
    assert_eq!(shop.engine.events(DeliveryState::Accepted, 9).await.unwrap().len(), 1);
    let nobody = EventId::parse(&format!("evt_{}", "0".repeat(32))).unwrap();
    let unknown = shop.engine.retry_event(&nobody).await.unwrap_err();
    assert_eq!(unknown.kind(), Kind::NotFound);
}

#[tokio::test]
async fn an_event_without_handler_and_webhook_is_parked() {
    let shop = Shop::open().await;
    paid(&shop).await;
    shop.engine.dispatch().await;
    let parked = shop.engine.events(DeliveryState::Parked, 9).await.unwrap();
    assert_eq!(parked.len(), 1);
    let number = OrderNumber::OutTradeNo(shop.order(NO).await.out_trade_no().clone());
    let found = shop.engine.query(Query { number, await_accepted: None }).await.unwrap();
    assert_eq!(found.user_order_success, None);
}

#[tokio::test]
async fn a_handler_is_called_again_until_it_returns_without_an_error() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let webhook = RecordingWebhook::default();
    let handler = move |event: OrderEvent| {
        let call = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            assert_eq!(event.body()["data"]["out_trade_no"], NO);
            assert!(call != 1, "a panic is a refusal too");
            if call == 0 { Err("not yet") } else { Ok(()) }
        }
    };
    let shop = Shop::open_as(|it| {
        it.webhook(webhook.clone()).on(EventType::PaymentSucceeded, "goods", handler)
    })
    .await;
    paid(&shop).await;
    for _ in 0..9 {
        shop.engine.dispatch().await;
        shop.clock.advance_ms(MINUTE);
    }
    assert_eq!(calls.load(Ordering::SeqCst), 3);
    assert_eq!(webhook.events(), [""; 0], "the handler takes the webhook's place");
}

#[tokio::test]
async fn a_handler_of_another_type_is_not_called() {
    let webhook = RecordingWebhook::default();
    let refuse = |_: OrderEvent| async { Err::<(), _>("not mine") };
    let shop = Shop::open_as(|it| {
        it.webhook(webhook.clone()).on(EventType::PaymentSucceeded, "vip", refuse)
    })
    .await;
    paid(&shop).await;
    shop.engine.dispatch().await;
    assert_eq!(webhook.events(), ["payment.succeeded"]);
}

#[tokio::test]
async fn what_a_dead_process_did_not_tell_the_next_one_does() {
    let clock = ManualClock::new();
    let providers = InProcess::open(None, Arc::new(clock.clone())).unwrap();
    let store = Memory::new();
    let next = |webhook: &RecordingWebhook| {
        let webhook = webhook.clone();
        move |it: paygate::engine::Builder| it.webhook(webhook)
    };
    let (dead, alive) = (RecordingWebhook::default(), RecordingWebhook::default());
    let reopened = store.reopen();
    let shop = Shop::at(clock.clone(), reopened, providers.clone(), next(&dead)).await;
    paid(&shop).await;
    let shop = Shop::at(clock, store.reopen(), providers, next(&alive)).await;
    assert_eq!(shop.engine.dispatch().await, 1);
    assert_eq!((dead.received().len(), alive.received().len()), (0, 1));
    assert_eq!(shop.engine.dispatch().await, 0);
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn what_the_shop_accepted_is_not_told_again_whatever_happens_meanwhile() {
    use crate::support::shop::with;

    let (clock, webhook, home) =
        (ManualClock::new(), RecordingWebhook::default(), tempfile::tempdir().unwrap());
    let path = home.path().join("paygate.db");
    let store = paygate::Sqlite::open_as(path, paygate::StoreMode::Mock).unwrap();
    let providers = InProcess::open(None, Arc::new(clock.clone())).unwrap();
    let shop = Shop::at(clock, store, providers, |it| {
        it.webhook(webhook.clone()).reconcile_every(Some(std::time::Duration::from_secs(3600)))
    })
    .await;
    for n in 0..200 {
        let request =
            with(qr_with_custom(Wxpay), "/data/out_trade_no", json!(format!("order-{n:04}")));
        let created = shop.create(&request).await.unwrap();
        shop.pay(&created).unwrap();
    }
    let news = shop.providers.notifications();
    for some in news.chunks(3) {
        let taken = futures_util::future::join_all(some.iter().map(|it| shop.take(it))).await;
        assert!(taken.iter().all(Result::is_ok));
    }
    shop.engine.shutdown().await;
    let mut ids: Vec<EventId> = webhook.received().into_iter().map(|it| it.id).collect();
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count, "some were told twice");
    assert!(count > 20, "only {count} were told while orders came");
}

#[tokio::test]
async fn a_host_that_was_off_for_a_day_parks_nothing_at_the_first_failure_after_its_start() {
    let (shop, webhook) = shop_with_webhook().await;
    webhook.refuse(usize::MAX);
    paid(&shop).await;
    for days_off in 0..5 {
        assert_eq!(shop.engine.dispatch().await, 1, "after {days_off} days off");
        let pending = shop.engine.events(DeliveryState::Pending, 9).await.unwrap();
        assert_eq!(pending.len(), 1, "after {days_off} days off");
        shop.clock.advance_ms(26 * 60 * MINUTE);
    }
    webhook.refuse(0);
    assert_eq!(shop.engine.dispatch().await, 1);
    assert_eq!(shop.engine.events(DeliveryState::Accepted, 9).await.unwrap().len(), 1);
}

/// The event is as old as ever: its age alone would park it at once.
#[tokio::test]
async fn a_parked_event_that_is_sent_again_by_hand_has_its_whole_schedule_again() {
    let (shop, webhook) = shop_with_webhook().await;
    webhook.refuse(usize::MAX);
    paid(&shop).await;
    let parked = until_parked(&shop).await;
    shop.engine.retry_event(&parked.id).await.unwrap();
    assert_eq!(shop.engine.dispatch().await, 1);
    let pending = shop.engine.events(DeliveryState::Pending, 9).await.unwrap();
    assert_eq!(pending.len(), 1, "refused once");
    assert_eq!(until_parked(&shop).await.tries, parked.tries);
}

/// What was recorded while the clock was ahead: an event, or an event and its refusal.
#[tokio::test]
async fn an_event_waits_no_longer_than_an_hour_when_a_clock_that_was_ahead_is_set_right() {
    const HOUR: i64 = 60 * MINUTE;
    for is_refused in [false, true] {
        for ahead_ms in [3 * HOUR, 24 * HOUR * 365] {
            let (shop, webhook) = shop_with_webhook().await;
            webhook.refuse(usize::from(is_refused));
            shop.clock.advance_ms(ahead_ms);
            paid(&shop).await;
            if is_refused {
                assert_eq!(shop.engine.dispatch().await, 1);
            }
            shop.clock.advance_ms(-ahead_ms);
            assert_eq!(shop.engine.dispatch().await, 1, "{ahead_ms} ms ahead");
            assert_eq!(shop.engine.dispatch().await, 0, "{ahead_ms} ms ahead: once");
            let accepted = shop.engine.events(DeliveryState::Accepted, 9).await.unwrap();
            assert_eq!(accepted.len(), 1, "{ahead_ms} ms ahead");
        }
    }
}
