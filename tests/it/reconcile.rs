//! What the reconciler does without anybody's request.
#![cfg(all(feature = "mock", feature = "wxpay", feature = "alipay"))]

use std::time::Duration;

use paygate::Clock;
use paygate::domain::AttemptState;
use paygate::domain::ProviderId::{Alipay, Wxpay};
use paygate::error::Kind;
use paygate::mock::{FaultKind, ProviderOperation, SimulatedFault, State};

use crate::support::requests::{NO, app, mini, qr};
use crate::support::shop::{Shop, body, kind, run_background};

const MINUTE: i64 = 60_000;

/// An order of whose opening nothing is known here; `loss` says what the provider knows.
async fn unknown(loss: FaultKind) -> Shop {
    let shop = Shop::open().await;
    shop.fault(loss);
    shop.fault_of(ProviderOperation::Query, FaultKind::LoseReply);
    assert_eq!(kind(shop.create(&mini(Wxpay, "one")).await), Some(Kind::OutcomeUnknown));
    shop
}

#[tokio::test]
async fn an_order_that_the_provider_made_is_ready_when_its_client_comes_back() {
    let shop = unknown(FaultKind::LoseReply).await;
    shop.clock.advance_ms(MINUTE);
    assert_eq!(shop.engine.reconcile().await, 1);
    let created = shop.create(&mini(Wxpay, "one")).await.unwrap();
    assert!(created.replayed, "the background entered it again");
    assert_eq!(shop.providers.orders().len(), 1);
    assert!(shop.pay(&created).is_ok());
}

#[tokio::test]
async fn an_order_that_the_provider_never_made_is_sent_when_its_client_comes_back() {
    let shop = unknown(FaultKind::LoseRequest).await;
    shop.clock.advance_ms(MINUTE);
    assert_eq!(shop.engine.reconcile().await, 1);
    assert_eq!(shop.providers.orders().len(), 0, "nobody asked for it again");
    assert_eq!(shop.engine.reconcile().await, 0, "nothing is left to be known");
    let created = shop.create(&mini(Wxpay, "one")).await.unwrap();
    assert!(!created.replayed);
    assert!(shop.pay(&created).is_ok());
}

#[tokio::test]
async fn what_cannot_be_asked_is_asked_again_later_and_not_at_once() {
    let shop = unknown(FaultKind::LoseReply).await;
    shop.clock.advance_ms(MINUTE);
    shop.fault_of(ProviderOperation::Query, FaultKind::LoseReply);
    assert_eq!(shop.engine.reconcile().await, 1);
    assert_eq!(shop.engine.reconcile().await, 0);
    shop.clock.advance_ms(MINUTE);
    assert_eq!(shop.engine.reconcile().await, 1);
    assert!(shop.create(&mini(Wxpay, "one")).await.unwrap().replayed);
}

#[tokio::test]
async fn an_offered_attempt_is_asked_about_before_it_expires_and_ended_when_it_lapsed() {
    for asked in [qr(Wxpay), qr(Alipay), app(Wxpay), app(Alipay)] {
        let shop = Shop::open().await;
        let created = shop.create(&asked).await.unwrap();
        let mut looked = Vec::new();
        for minute in 0..24 * 60 {
            if shop.engine.reconcile().await > 0 {
                looked.push(minute);
            }
            shop.clock.advance_ms(MINUTE);
        }
        assert_eq!(looked, [29, 32], "it lives for 30 minutes");
        assert!(shop.pay(&created).is_err());
    }
}

#[tokio::test]
async fn an_offered_attempt_is_queried_once_in_its_last_minute() {
    for (asked, operation) in [(qr(Wxpay), "wxpay.query"), (qr(Alipay), "alipay.query")] {
        let shop = Shop::open().await;
        shop.create(&asked).await.unwrap();
        shop.clock.advance_ms(29 * MINUTE);
        assert_eq!(shop.engine.reconcile().await, 1);
        assert_eq!(shop.providers.calls(operation), 1);
        assert_eq!(shop.order(NO).await.attempts[0].last_queried_at, Some(shop.clock.now()));
    }
}

#[tokio::test]
async fn a_payment_that_nobody_told_is_found_before_the_attempt_expires() {
    for asked in [qr(Wxpay), qr(Alipay)] {
        let shop = Shop::open().await;
        let created = shop.create(&asked).await.unwrap();
        shop.pay(&created).unwrap();
        shop.clock.advance_ms(29 * MINUTE);
        assert_eq!(shop.engine.reconcile().await, 1);
        let queries = shop.providers.calls("wxpay.query") + shop.providers.calls("alipay.query");
        assert_eq!(kind(shop.create(&asked).await), Some(Kind::AlreadyPaid));
        let after = shop.providers.calls("wxpay.query") + shop.providers.calls("alipay.query");
        assert_eq!(queries, after, "it is known");
    }
}

#[tokio::test]
async fn two_payments_that_nothing_could_prevent_are_both_found() {
    let shop = Shop::open().await;
    let code = shop.create(&qr(Alipay)).await.unwrap();
    let native = shop.create(&qr(Wxpay)).await.unwrap();
    shop.pay(&native).unwrap();
    shop.pay(&code).unwrap();
    for _ in 0..40 {
        shop.clock.advance_ms(MINUTE);
        shop.engine.reconcile().await;
    }
    let order = shop.order(NO).await;
    assert_eq!(order.payments.len(), 2);
    assert!(order.flags.duplicate_paid);
    assert_eq!(order.status.number(), 1);
    assert!(order.attempts.iter().all(|it| it.state == AttemptState::Paid));
    assert_eq!(shop.states(), [(Wxpay, State::Paid), (Alipay, State::Paid)]);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_hangs_delays_no_order_of_the_other_one() {
    for (down, up) in [(Alipay, Wxpay), (Wxpay, Alipay)] {
        let shop = Shop::open_as(|it| it.reconcile_every(Some(Duration::from_secs(1)))).await;
        let number = |n: u32| format!("order-1{n:03}");
        for n in 0..80 {
            shop.create(&body(down, &number(n), 100)).await.unwrap();
        }
        let hangs = SimulatedFault {
            provider: Some(down),
            operation: Some(ProviderOperation::Query),
            kind: FaultKind::Delay { ms: 60_000 },
            times: 1 << 20,
        };
        shop.providers.add_fault(hangs);
        shop.clock.advance_ms(29 * MINUTE);
        tokio::time::sleep(Duration::from_secs(2)).await;
        // An order of the other provider whose outcome is unknown becomes due meanwhile.
        shop.fault(FaultKind::LoseReply);
        let lost = SimulatedFault {
            provider: Some(up),
            operation: Some(ProviderOperation::Query),
            kind: FaultKind::LoseReply,
            times: 1,
        };
        shop.providers.add_fault(lost);
        assert_eq!(kind(shop.create(&qr(up)).await), Some(Kind::OutcomeUnknown), "{up}");
        shop.clock.advance_ms(10_000);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(!shop.order(NO).await.latest().is_unknown(), "{up} was queried");
        let first = shop.order(&number(0)).await;
        assert_eq!(first.latest().last_queried_at, None, "{down} did not answer yet");
    }
}

#[tokio::test(start_paused = true)]
async fn the_background_closes_a_superseded_wechat_code_without_waiting_for_its_next_round() {
    let shop = Shop::open_as(|it| it.reconcile_every(Some(Duration::from_secs(3_600)))).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let code = shop.create(&qr(Alipay)).await.unwrap();
    let native = shop.create(&qr(Wxpay)).await.unwrap();
    assert!(shop.create(&qr(Alipay)).await.unwrap().replayed, "the buyer returns");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(shop.states(), [(Wxpay, State::Closed), (Alipay, State::Offered)]);
    assert!(shop.pay(&native).is_err() && shop.pay(&code).is_ok());
}

#[tokio::test(start_paused = true)]
async fn many_orders_are_asked_about_at_once_and_every_one_is() {
    let shop = Shop::open().await;
    let orders = 70;
    for n in 0..orders {
        shop.create(&body(Wxpay, &format!("order-{n:04}"), 100)).await.unwrap();
    }
    shop.clock.advance_ms(40 * MINUTE);
    let (operation, kind) = (Some(ProviderOperation::Query), FaultKind::Delay { ms: 1_000 });
    shop.providers.add_fault(SimulatedFault { provider: None, operation, kind, times: 70 });
    let began = tokio::time::Instant::now();
    assert_eq!(shop.engine.reconcile().await, orders);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test]
async fn of_two_trades_at_one_provider_only_the_one_that_is_due_is_queried() {
    let shop = unknown(FaultKind::LoseRequest).await;
    shop.fault_of(ProviderOperation::Query, FaultKind::LoseReply);
    shop.create(&qr(Wxpay)).await.unwrap();
    assert_eq!(shop.order(NO).await.attempts.len(), 2, "each has a number of its own");
    shop.clock.advance_ms(MINUTE);
    assert!(shop.engine.reconcile().await > 0);
    let attempts = shop.order(NO).await.attempts;
    assert_eq!(attempts[0].last_queried_at, Some(shop.clock.now()));
    assert_eq!(attempts[1].last_queried_at, None, "its buyer has half an hour");
}

#[tokio::test]
async fn a_payment_that_does_not_match_leaves_the_other_trades_to_the_next_round() {
    let shop = Shop::open().await;
    shop.create(&qr(Alipay)).await.unwrap();
    let native = shop.create(&qr(Wxpay)).await.unwrap();
    let (kind, times) = (FaultKind::WrongAmount, 1);
    shop.providers.add_fault(SimulatedFault { provider: None, operation: None, kind, times });
    shop.pay(&native).unwrap();
    let queries = shop.providers.calls("alipay.query");
    assert_eq!(shop.notify().await, [Err(Kind::Mismatched)]);
    run_background().await;
    assert_eq!(shop.providers.calls("alipay.query"), queries);
}
