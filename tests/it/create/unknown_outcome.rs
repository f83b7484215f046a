//! Unknown outcomes: the provider is asked before anything is sent again.

use paygate::domain::ProviderId;
use paygate::domain::ProviderId::{Alipay, Wxpay};
use paygate::error::Kind;
use paygate::mock::{FaultKind, PayWith, ProviderOperation, SimulatedPurchase, State};
use serde_json::json;

use crate::support::requests::{NO, material, mini, qr, refuse};
use crate::support::shop::{Shop, kind, with};

/// What loses an answer: whether the provider acted, nobody here can know.
fn losses() -> [FaultKind; 7] {
    [
        FaultKind::LoseRequest,
        FaultKind::LoseReply,
        FaultKind::Reset,
        FaultKind::Status500,
        FaultKind::BadSignature,
        FaultKind::Unsigned,
        FaultKind::Malformed,
    ]
}

fn queries(shop: &Shop, provider: ProviderId) -> u64 {
    shop.providers.calls(&format!("{provider}.query"))
}

#[tokio::test]
async fn after_an_unknown_outcome_the_provider_is_asked_and_the_same_is_sent_again() {
    for provider in [Wxpay, Alipay] {
        for loss in losses() {
            let shop = Shop::open().await;
            shop.fault(loss.clone());
            let created = shop.create(&qr(provider)).await;
            let created = created.unwrap_or_else(|it| panic!("{provider} {loss:?}: {it:?}"));
            assert!(!created.replayed);
            assert_eq!(queries(&shop, provider), 1, "{provider} {loss:?}");
            assert_eq!(shop.creates(), 2, "{provider} {loss:?}");
            assert_eq!(shop.ledger(NO).len(), 1, "{provider} {loss:?}");
            assert_eq!(shop.providers.orders().len(), 1, "{provider} {loss:?}");
            assert!(shop.pay(&created).is_ok(), "{provider} {loss:?}");
        }
    }
}

#[tokio::test]
async fn a_lost_reply_is_not_a_second_charge() {
    let shop = Shop::open().await;
    shop.fault(FaultKind::LoseReply);
    let first = shop.create(&mini(Wxpay, "buyer-1")).await.unwrap();
    let again = shop.create(&mini(Wxpay, "buyer-1")).await.unwrap();
    assert!(again.replayed);
    assert_eq!(material(&first), material(&again));
    assert_eq!(shop.providers.orders().len(), 1);
}

#[tokio::test]
async fn when_even_the_question_fails_the_outcome_stays_unknown_and_nothing_is_sent() {
    for provider in [Wxpay, Alipay] {
        for loss in losses() {
            let shop = Shop::open().await;
            shop.fault(loss.clone());
            for round in 1..=3 {
                shop.fault_of(ProviderOperation::Query, FaultKind::LoseReply);
                let answer = shop.create(&qr(provider)).await;
                assert_eq!(kind(answer), Some(Kind::OutcomeUnknown), "{provider} {loss:?}");
                assert_eq!(shop.creates(), 1, "{provider} {loss:?}");
                assert_eq!(queries(&shop, provider), round, "{provider} {loss:?}");
            }
            let other = with(qr(provider), "/data/total_fee", json!(1));
            assert_eq!(kind(shop.create(&other).await), Some(Kind::Different));
            assert!(shop.create(&qr(provider)).await.is_ok(), "{provider} {loss:?}");
            assert_eq!(shop.providers.orders().len(), 1, "{provider} {loss:?}");
        }
    }
}

#[tokio::test]
async fn a_timeout_whose_order_was_created_is_entered_again_with_the_same_parameters() {
    let shop = Shop::open_as(|it| {
        let (timeout, budget) = (20, 20_000);
        let ms = std::time::Duration::from_millis;
        it.call_limits(ms(timeout), ms(budget))
    })
    .await;
    shop.fault(FaultKind::Delay { ms: 60_000 });
    let created = shop.create(&qr(Wxpay)).await.unwrap();
    let [order] = &shop.ledger(NO)[..] else { panic!("one order") };
    assert_eq!((order.state, order.create_calls), (State::Unpaid, 2));
    assert!(shop.pay(&created).is_ok());
}

#[tokio::test]
async fn a_payment_that_the_question_finds_is_the_orders_own() {
    let shop = Shop::open().await;
    shop.fault(FaultKind::LoseReply);
    shop.fault_of(ProviderOperation::Query, FaultKind::LoseReply);
    assert_eq!(kind(shop.create(&qr(Wxpay)).await), Some(Kind::OutcomeUnknown));
    let with = PayWith::OutTradeNo(NO.to_owned());
    shop.providers.pay(&SimulatedPurchase { provider: Wxpay, with, payer: None }).unwrap();
    for _ in 0..2 {
        let error = shop.create(&qr(Wxpay)).await.unwrap_err();
        assert_eq!(error.kind(), Kind::AlreadyPaid);
        assert_eq!(error.status(), Some(1));
    }
    assert_eq!(queries(&shop, Wxpay), 2, "a paid order is not asked about again");
    assert_eq!(shop.creates(), 1);
}

#[tokio::test]
async fn a_refused_order_is_asked_about_and_opens_under_the_same_number() {
    for provider in [Wxpay, Alipay] {
        let (code, ours) = match provider {
            Wxpay => ("PARAM_ERROR", "wrong openid"),
            Alipay => ("ACQ.INVALID_PARAMETER", "wrong openid"),
        };
        let shop = Shop::open().await;
        shop.fault(refuse(code, ours));
        let error = shop.create(&mini(provider, "wrong")).await.unwrap_err();
        assert_eq!(error.kind(), Kind::ProviderRefused);
        assert_eq!(error.provider(), Some((code, ours)));
        let created = shop.create(&mini(provider, "right")).await.unwrap();
        assert!(!created.replayed);
        assert_eq!(queries(&shop, provider), 1);
        let [order] = &shop.providers.orders()[..] else { panic!("one order") };
        assert_eq!(order.out_trade_no, NO, "no new number for the same intent");
        assert!(shop.pay(&created).is_ok());
    }
}

#[tokio::test]
async fn a_refusal_that_hides_an_order_is_closed_before_another_opens() {
    // The order came to be, and an unsigned answer says that it was refused.
    let shop = Shop::open().await;
    shop.fault(FaultKind::LoseReply);
    shop.fault_of(ProviderOperation::Query, FaultKind::LoseReply);
    assert_eq!(kind(shop.create(&mini(Wxpay, "one")).await), Some(Kind::OutcomeUnknown));
    let other = shop.create(&mini(Wxpay, "two")).await.unwrap();
    let orders = shop.providers.orders();
    let states: Vec<_> = orders.iter().map(|it| it.state).collect();
    assert_eq!(states.iter().filter(|it| **it == State::Unpaid).count(), 1, "{states:?}");
    assert_eq!(states.iter().filter(|it| **it == State::Closed).count(), 1, "{states:?}");
    assert!(shop.pay(&other).is_ok());
}

/// The providers know an order that the store does not: a backup was restored.
async fn after_a_restored_backup(provider: ProviderId, total_fee: u64) -> Shop {
    let before = Shop::open().await;
    let lost = with(qr(provider), "/data/total_fee", json!(total_fee));
    let created = before.create(&lost).await.unwrap();
    before.scan(&created).unwrap();
    let store = paygate::store::Memory::new();
    Shop::at(before.clock.clone(), store, before.providers.clone(), |it| it).await
}

#[tokio::test]
async fn a_number_that_only_the_provider_knows_is_closed_and_opened_under_another() {
    for provider in [Wxpay, Alipay] {
        let shop = after_a_restored_backup(provider, 999).await;
        let created = shop.create(&qr(provider)).await.unwrap();
        let orders = shop.providers.orders();
        assert_eq!(orders.len(), 2, "{provider}");
        for order in orders {
            let expected = if order.out_trade_no == NO { State::Closed } else { order.state };
            assert_eq!(order.state, expected, "{provider}");
        }
        assert!(shop.pay(&created).is_ok(), "{provider}");
    }
}

#[tokio::test]
async fn a_payment_that_only_the_provider_knows_is_adopted_when_it_matches() {
    for (total_fee, status) in [(100, 1), (999, 0)] {
        let shop = after_a_restored_backup(Wxpay, total_fee).await;
        let with = PayWith::OutTradeNo(NO.to_owned());
        shop.providers.pay(&SimulatedPurchase { provider: Wxpay, with, payer: None }).unwrap();
        for _ in 0..2 {
            let error = shop.create(&qr(Wxpay)).await.unwrap_err();
            assert_eq!(error.kind(), Kind::AlreadyPaid, "{total_fee}");
            assert_eq!(error.status(), Some(status), "{total_fee}");
        }
        assert_eq!(shop.providers.orders().len(), 1);
    }
}

#[tokio::test]
async fn nothing_is_sent_when_the_number_is_taken_and_nobody_can_tell_by_what() {
    let shop = after_a_restored_backup(Wxpay, 999).await;
    let before = shop.creates();
    shop.fault_of(ProviderOperation::Query, FaultKind::LoseReply);
    assert_eq!(kind(shop.create(&qr(Wxpay)).await), Some(Kind::OutcomeUnknown));
    assert_eq!(shop.creates() - before, 1);
    assert!(shop.create(&qr(Wxpay)).await.is_ok());
}

#[tokio::test]
async fn what_was_lost_twice_is_looked_after_although_nobody_asks_again() {
    for provider in [Wxpay, Alipay] {
        let shop = Shop::open().await;
        let request = qr(provider);
        shop.fault_of(ProviderOperation::Create, FaultKind::LoseRequest);
        for _ in 0..9 {
            shop.fault_of(ProviderOperation::Create, FaultKind::LoseReply);
        }
        assert_eq!(kind(shop.create(&request).await), Some(Kind::OutcomeUnknown), "{provider}");
        shop.providers.clear_faults();
        assert!(shop.order(NO).await.due().is_some(), "{provider}: it waits for an answer");
        let with = PayWith::OutTradeNo(NO.to_owned());
        shop.providers.pay(&SimulatedPurchase { provider, with, payer: None }).unwrap();
        shop.clock.advance_ms(60_000);
        shop.engine.reconcile().await;
        assert_eq!(shop.order(NO).await.status.number(), 1, "{provider}: nobody told of it");
    }
}
