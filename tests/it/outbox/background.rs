//! What the background sends without a call of `dispatch`.

use std::future::{Pending, pending};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use paygate::domain::ProviderId::Wxpay;
use paygate::domain::{DeliveryState, EventType};
use paygate::engine::OrderEvent;
use serde_json::json;

use crate::support::requests::{NO, qr};
use crate::support::shop::{Shop, body, with};
use crate::support::webhook::{shop_with_webhook, shop_with_webhook_and};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn an_event_reaches_the_shop_by_itself_once() {
    let (shop, webhook) = shop_with_webhook_and(|it| it.reconcile_every(Some(SECOND))).await;
    let created = shop.create(&qr(Wxpay)).await.unwrap();
    shop.pay(&created).unwrap();
    assert_eq!(shop.notify().await, [Ok(())]);
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!(webhook.events(), ["payment.succeeded"]);
    shop.engine.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_payment_wakes_the_delivery_of_its_event() {
    let (shop, webhook) = shop_with_webhook_and(|it| it.reconcile_every(Some(SECOND))).await;
    let created = shop.create(&qr(Wxpay)).await.unwrap();
    shop.pay(&created).unwrap();
    // The background has looked for events, and would look again in a second.
    tokio::time::sleep(SECOND / 10).await;
    assert_eq!(shop.notify().await, [Ok(())]);
    tokio::time::sleep(SECOND / 10).await;
    assert_eq!(webhook.events(), ["payment.succeeded"]);
    shop.engine.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn so_many_events_are_on_their_way_at_once_and_none_of_them_twice() {
    let begun = Arc::new(AtomicUsize::new(0));
    let counted = begun.clone();
    let slow = move |_: OrderEvent| {
        counted.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(60 * SECOND)
    };
    let shop = Shop::open_as(|it| {
        it.reconcile_every(Some(SECOND)).on(EventType::PaymentSucceeded, "goods", slow)
    })
    .await;
    for n in 0..70 {
        let created = shop.create(&body(Wxpay, &format!("order-{n:04}"), 100)).await.unwrap();
        shop.pay(&created).unwrap();
    }
    assert!(shop.notify().await.iter().all(Result::is_ok));
    tokio::time::sleep(50 * SECOND).await;
    assert_eq!(begun.load(Ordering::SeqCst), 64);
    tokio::time::sleep(20 * SECOND).await;
    assert_eq!(begun.load(Ordering::SeqCst), 70);
    tokio::time::sleep(120 * SECOND).await;
    assert_eq!(begun.load(Ordering::SeqCst), 70, "each was sent once");
    shop.engine.shutdown().await;
}

#[tokio::test]
async fn an_event_that_is_sent_again_by_hand_does_not_wait_for_its_turn() {
    let (shop, webhook) = shop_with_webhook().await;
    webhook.refuse(1);
    let created = shop.create(&qr(Wxpay)).await.unwrap();
    shop.pay(&created).unwrap();
    assert_eq!(shop.notify().await, [Ok(())]);
    assert_eq!((shop.engine.dispatch().await, shop.engine.dispatch().await), (1, 0), "refused");
    let pending = shop.engine.events(DeliveryState::Pending, 9).await.unwrap().remove(0);
    assert_eq!((pending.out_trade_no.as_str(), pending.tries), (NO, 1));
    shop.engine.retry_event(&pending.id).await.unwrap();
    assert_eq!(shop.engine.dispatch().await, 1);
    assert_eq!(webhook.events().len(), 2);
}

/// A handler that counts what it gets, and never ends.
fn hanging(begun: &Arc<AtomicUsize>) -> impl Fn(OrderEvent) -> Pending<()> + use<> {
    let counted = begun.clone();
    move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        pending()
    }
}

/// Pays `count` orders of type `kind`.
async fn pay(shop: &Shop, kind: &str, count: usize) {
    for n in 0..count {
        let request = body(Wxpay, &format!("order-{kind}-{n:04}"), 100);
        let created = shop.create(&with(request, "/data/type", json!(kind))).await.unwrap();
        shop.pay(&created).unwrap();
    }
    assert!(shop.notify().await.iter().all(Result::is_ok));
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_hangs_delays_no_event_of_another() {
    let begun = Arc::new(AtomicUsize::new(0));
    let (shop, webhook) = shop_with_webhook_and(|it| {
        it.reconcile_every(Some(SECOND)).on(EventType::PaymentSucceeded, "slow", hanging(&begun))
    })
    .await;
    pay(&shop, "slow", 130).await;
    tokio::time::sleep(5 * SECOND).await;
    assert_eq!(begun.load(Ordering::SeqCst), 64);
    pay(&shop, "goods", 1).await;
    tokio::time::sleep(SECOND).await;
    assert_eq!(webhook.events(), ["payment.succeeded"]);
}

#[tokio::test(start_paused = true)]
async fn many_receivers_that_hang_delay_no_event_of_another() {
    let begun = Arc::new(AtomicUsize::new(0));
    let kinds = ["slow-1", "slow-2", "slow-3", "slow-4", "slow-5"];
    let (shop, webhook) = shop_with_webhook_and(|it| {
        let engine = it.reconcile_every(Some(SECOND));
        kinds
            .iter()
            .fold(engine, |it, kind| it.on(EventType::PaymentSucceeded, kind, hanging(&begun)))
    })
    .await;
    for (kind, events) in kinds.into_iter().zip([60, 66, 66, 66, 66]) {
        pay(&shop, kind, events).await;
    }
    tokio::time::sleep(5 * SECOND).await;
    assert_eq!(begun.load(Ordering::SeqCst), 256, "so many in all, of which each has a share");
    pay(&shop, "goods", 9).await;
    tokio::time::sleep(5 * SECOND).await;
    assert_eq!(webhook.events().len(), 9);
}

#[tokio::test(start_paused = true)]
async fn a_dispatch_has_64_events_on_their_way_at_once() {
    let begun = Arc::new(AtomicUsize::new(0));
    let counted = begun.clone();
    // The first takes ten seconds, every other one a minute.
    let slow = move |_: OrderEvent| {
        let is_first = counted.fetch_add(1, Ordering::SeqCst) == 0;
        tokio::time::sleep(if is_first { 10 * SECOND } else { 60 * SECOND })
    };
    let shop = Shop::open_as(|it| it.on(EventType::PaymentSucceeded, "goods", slow)).await;
    for n in 0..70 {
        let created = shop.create(&body(Wxpay, &format!("order-{n:04}"), 100)).await.unwrap();
        shop.pay(&created).unwrap();
    }
    assert!(shop.notify().await.iter().all(Result::is_ok));
    let mut dispatch = std::pin::pin!(shop.engine.dispatch());
    for (seconds, count) in [(1, 64), (20, 65)] {
        let ended = tokio::time::timeout(seconds * SECOND, &mut dispatch).await;
        assert!(ended.is_err(), "they take a minute");
        assert_eq!(begun.load(Ordering::SeqCst), count, "after {seconds} more seconds");
    }
}
