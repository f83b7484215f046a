//! Stale material, and attempts that came to their end.

use paygate::domain::ProviderId::{Alipay, Wxpay};
use paygate::error::Kind;
use paygate::mock::{FaultKind, ProviderOperation, State};
use serde_json::json;

use crate::support::requests::{NO, app, material, phone, qr};
use crate::support::shop::{ManualClock, Shop, kind, with};
use paygate::Clock;

const MINUTE: i64 = 60_000;

#[tokio::test]
async fn stale_material_is_entered_again_with_exactly_the_stored_parameters() {
    let shop = Shop::open().await;
    let first = shop.create(&phone()).await.unwrap();
    let before = shop.ledger(NO)[0].terms.clone();
    // WeChat Pay's h5_url lives for 5 minutes, the order for 30.
    shop.clock.advance_ms(4 * MINUTE);
    assert!(shop.create(&phone()).await.unwrap().replayed);
    shop.clock.advance_ms(MINUTE);
    let renewed = shop.create(&phone()).await.unwrap();
    assert!(!renewed.replayed);
    assert_ne!(material(&first), material(&renewed));
    let [order] = &shop.providers.orders()[..] else { panic!("one order") };
    assert_eq!((order.create_calls, &order.terms), (2, &before));
    assert!(shop.create(&phone()).await.unwrap().replayed);
    assert_eq!(shop.creates(), 2);
}

#[tokio::test]
async fn a_lost_renewal_leaves_the_order_as_it_is() {
    let shop = Shop::open().await;
    shop.create(&phone()).await.unwrap();
    shop.clock.advance_ms(5 * MINUTE);
    shop.fault(FaultKind::LoseReply);
    assert_eq!(kind(shop.create(&phone()).await), Some(Kind::OutcomeUnknown));
    let renewed = shop.create(&phone()).await.unwrap();
    assert_eq!(shop.providers.orders().len(), 1);
    assert!(shop.pay(&renewed).is_ok());
}

#[tokio::test]
async fn an_alipay_code_expires_after_two_hours_at_the_latest() {
    const HOUR: i64 = 60 * MINUTE;
    let deadline = |shop: &Shop| json!(shop.clock.now().0 + 24 * HOUR);
    // The methods, and when each expires: by a time to live of 3 h, and by a deadline in a day.
    for (request, by_ttl, by_deadline) in
        [(qr(Alipay), 2, 2), (app(Alipay), 3, 24), (qr(Wxpay), 3, 24), (app(Wxpay), 3, 24)]
    {
        let open = || Shop::open_as(|it| it.order_ttl(std::time::Duration::from_secs(3 * 3_600)));
        for (has_deadline, hours) in [(false, by_ttl), (true, by_deadline)] {
            let shop = open().await;
            let request = match has_deadline {
                true => with(request.clone(), "/data/time_expire", deadline(&shop)),
                false => request.clone(),
            };
            shop.create(&request).await.unwrap();
            let attempt = shop.order(NO).await.latest().clone();
            let expires_at = shop.clock.now().plus(hours * HOUR);
            assert_eq!(attempt.expires_at, expires_at, "{request}");
        }
    }
}

#[tokio::test]
async fn near_an_attempts_expiry_the_client_waits() {
    for provider in [Wxpay, Alipay] {
        let shop = Shop::open().await;
        shop.create(&qr(provider)).await.unwrap();
        shop.clock.advance_ms(29 * MINUTE + 30_000);
        assert_eq!(kind(shop.create(&qr(provider)).await), Some(Kind::Busy));
        shop.clock.advance_ms(90_000);
        assert_eq!(kind(shop.create(&qr(provider)).await), Some(Kind::Busy));
        assert_eq!(shop.creates(), 1);
    }
}

#[tokio::test]
async fn an_expired_attempt_is_asked_closed_and_followed_under_a_derived_number() {
    for provider in [Wxpay, Alipay] {
        let shop = Shop::open().await;
        let first = shop.create(&qr(provider)).await.unwrap();
        shop.clock.advance_ms(32 * MINUTE);
        let second = shop.create(&qr(provider)).await.unwrap();
        assert!(!second.replayed);
        assert_ne!(material(&first), material(&second));
        let orders = shop.providers.orders();
        let derived = orders.iter().find(|it| it.out_trade_no != NO).unwrap();
        assert!(derived.out_trade_no.starts_with("pg"));
        assert_eq!(derived.out_trade_no.len(), 32);
        assert!(shop.pay(&first).is_err(), "{provider}: the first can no longer be paid");
        assert!(shop.pay(&second).is_ok(), "{provider}");
        assert!(shop.providers.calls(&format!("{provider}.query")) > 0);
    }
}

#[tokio::test]
async fn an_expired_attempt_that_was_paid_opens_nothing() {
    for provider in [Wxpay, Alipay] {
        let shop = Shop::open().await;
        let first = shop.create(&qr(provider)).await.unwrap();
        shop.pay(&first).unwrap();
        shop.clock.advance_ms(32 * MINUTE);
        let error = shop.create(&qr(provider)).await.unwrap_err();
        assert_eq!((error.kind(), error.status()), (Kind::AlreadyPaid, Some(1)));
        assert_eq!(shop.creates(), 1);
    }
}

#[tokio::test]
async fn an_expired_attempt_that_cannot_be_asked_opens_nothing() {
    let shop = Shop::open().await;
    shop.create(&qr(Wxpay)).await.unwrap();
    shop.clock.advance_ms(32 * MINUTE);
    for operation in [ProviderOperation::Query, ProviderOperation::Close] {
        shop.fault_of(operation, FaultKind::LoseReply);
        assert_eq!(kind(shop.create(&qr(Wxpay)).await), Some(Kind::OutcomeUnknown));
        assert_eq!(shop.creates(), 1, "{operation:?}");
    }
    // The lost close reply is asked again: it had closed.
    assert!(shop.create(&qr(Wxpay)).await.is_ok());
}

#[tokio::test]
async fn an_orders_own_deadline_ends_it_and_no_later_request_extends_it() {
    let hands = ManualClock::new();
    let deadline = hands.now().0 + 10 * MINUTE;
    for provider in [Wxpay, Alipay] {
        let shop = Shop::open().await;
        let asked = with(qr(provider), "/data/time_expire", json!(deadline));
        let first = shop.create(&asked).await.unwrap();
        let later = with(qr(provider), "/data/time_expire", json!(deadline + 60 * MINUTE));
        assert!(shop.create(&later).await.unwrap().replayed, "not compared");
        shop.clock.advance_ms(12 * MINUTE);
        for again in [&asked, &later] {
            assert_eq!(kind(shop.create(again).await), Some(Kind::Closed), "{provider}");
        }
        assert!(shop.pay(&first).is_err());
        assert_eq!(shop.creates(), 1);
    }
}

#[tokio::test]
async fn an_orders_own_deadline_still_finds_the_payment() {
    let deadline = ManualClock::new().now().0 + 10 * MINUTE;
    let shop = Shop::open().await;
    let asked = with(qr(Wxpay), "/data/time_expire", json!(deadline));
    let first = shop.create(&asked).await.unwrap();
    shop.pay(&first).unwrap();
    shop.clock.advance_ms(12 * MINUTE);
    assert_eq!(kind(shop.create(&asked).await), Some(Kind::AlreadyPaid));
}

#[tokio::test]
async fn in_its_last_minute_an_order_keeps_what_its_buyer_has_in_hand() {
    let deadline = ManualClock::new().now().0 + 10 * MINUTE;
    let shop = Shop::open().await;
    let asked = with(qr(Wxpay), "/data/time_expire", json!(deadline));
    let first = shop.create(&asked).await.unwrap();
    shop.clock.advance_ms(9 * MINUTE + 5_000);
    let other = with(qr(Alipay), "/data/time_expire", json!(deadline));
    assert_eq!(kind(shop.create(&other).await), Some(Kind::Busy), "nothing can follow it");
    assert!(shop.pay(&first).is_ok());
    shop.clock.advance_ms(3 * MINUTE);
    assert_eq!(kind(shop.create(&other).await), Some(Kind::AlreadyPaid));
}

#[tokio::test]
async fn a_clock_that_jumps_hands_out_nothing_stale_and_opens_no_second_order() {
    let shop = Shop::open().await;
    let first = shop.create(&qr(Wxpay)).await.unwrap();
    for jump in [60 * MINUTE, -60 * MINUTE] {
        shop.clock.advance_ms(jump);
        let answer = shop.create(&qr(Wxpay)).await;
        let open = shop.providers.orders().iter().filter(|it| it.state == State::Unpaid).count();
        assert_eq!(open, 1, "{jump}: {answer:?}");
    }
    // The first one was closed when the clock said that it was over, and stays closed.
    assert!(shop.pay(&first).is_err());
}
