//! A clock that was ahead, and is set right: nothing waits until it is there again.
#![cfg(feature = "mock")]

use std::time::Duration;

use paygate::domain::OrderStatus;
use paygate::domain::ProviderId::Wxpay;
use paygate::engine::{OrderNumber, Query};

use crate::support::requests::{MINUTE, NO, qr};
use crate::support::shop::Shop;

const AHEAD_MS: i64 = 180 * MINUTE;

/// The clock was ahead while the order was created and its buyer paid; the notification was lost.
async fn pay_ahead(shop: &Shop) {
    shop.clock.advance_ms(AHEAD_MS);
    let created = shop.create(&qr(Wxpay)).await.unwrap();
    shop.pay(&created).unwrap();
}

#[tokio::test]
async fn a_query_asks_the_provider_about_an_order_that_was_created_in_the_future() {
    let shop = Shop::open().await;
    pay_ahead(&shop).await;
    let number = || OrderNumber::OutTradeNo(NO.parse().unwrap());
    let query = || Query { number: number(), await_accepted: None };
    let found = shop.engine.query(query()).await.unwrap();
    assert_eq!(found.order.status, OrderStatus::Open, "it was created just now");
    shop.clock.advance_ms(-AHEAD_MS);
    let found = shop.engine.query(query()).await.unwrap();
    assert_eq!(found.order.status, OrderStatus::Paid);
}

#[tokio::test(start_paused = true)]
async fn the_background_asks_about_what_was_put_off_into_the_future() {
    let second = Duration::from_secs(1);
    let shop = Shop::open_as(|it| it.reconcile_every(Some(second))).await;
    pay_ahead(&shop).await;
    tokio::time::sleep(5 * second).await;
    assert_eq!(shop.order(NO).await.status, OrderStatus::Open, "its turn is in half an hour");
    shop.clock.advance_ms(-AHEAD_MS);
    tokio::time::sleep(5 * second).await;
    assert_eq!(shop.order(NO).await.status, OrderStatus::Paid);
    shop.engine.shutdown().await;
}
