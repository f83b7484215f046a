//! Another way to pay an unpaid order.
#![cfg(all(feature = "mock", feature = "wxpay", feature = "alipay"))]

use paygate::Clock;
use paygate::domain::ProviderId::{Alipay, Wxpay};
use paygate::engine::Switching;
use paygate::error::Kind;
use paygate::mock::{FaultKind, ProviderOperation, State};
use serde_json::Value;

use crate::support::requests::{NO, app, material, mini, phone, qr, refuse};
use crate::support::shop::{Shop, kind};

fn open_orders(shop: &Shop) -> usize {
    shop.states().iter().filter(|(_, state)| *state == State::Unpaid).count()
}

#[tokio::test]
async fn a_wechat_qr_code_is_closed_before_alipay_opens() {
    let shop = Shop::open().await;
    let old = shop.create(&qr(Wxpay)).await.unwrap();
    let new = shop.create(&qr(Alipay)).await.unwrap();
    assert_eq!(shop.states(), [(Wxpay, State::Closed), (Alipay, State::Offered)]);
    assert!(shop.pay(&old).is_err(), "the old QR code fails at WeChat Pay");
    assert!(shop.pay(&new).is_ok());
}

#[tokio::test]
async fn every_other_way_at_wechat_closes_the_first_and_gets_a_derived_number() {
    let others = [app(Wxpay), phone(), mini(Wxpay, "one")];
    for other in others {
        let shop = Shop::open().await;
        let old = shop.create(&qr(Wxpay)).await.unwrap();
        let new = shop.create(&other).await.unwrap();
        let numbers: Vec<_> = shop.providers.orders();
        assert_eq!(numbers.len(), 2);
        assert_eq!(open_orders(&shop), 1);
        assert!(shop.pay(&old).is_err());
        assert!(shop.pay(&new).is_ok());
    }
}

#[tokio::test]
async fn another_buyer_of_a_shared_link_is_a_switch_and_not_a_mismatch() {
    for provider in [Wxpay, Alipay] {
        let shop = Shop::open().await;
        let old = shop.create(&mini(provider, "one")).await.unwrap();
        let new = shop.create(&mini(provider, "two")).await.unwrap();
        assert_ne!(material(&old), material(&new));
        assert!(shop.pay(&old).is_err(), "{provider}");
        assert!(shop.pay(&new).is_ok(), "{provider}");
    }
}

#[tokio::test]
async fn another_address_is_another_way_for_wechats_phone_pages() {
    let shop = Shop::open().await;
    let old = shop.create_from(&phone(), "114.114.114.114").await.unwrap();
    let new = shop.create_from(&phone(), "223.5.5.5").await.unwrap();
    assert_eq!(open_orders(&shop), 1);
    assert!(shop.pay(&old).is_err());
    assert!(shop.pay(&new).is_ok());
}

#[tokio::test]
async fn an_unscanned_alipay_code_is_superseded_and_watched_until_it_ends() {
    let shop = Shop::open().await;
    let old = shop.create(&qr(Alipay)).await.unwrap();
    let new = shop.create(&qr(Wxpay)).await.unwrap();
    assert_eq!(shop.states(), [(Wxpay, State::Unpaid), (Alipay, State::Offered)]);
    // The buyer scans the old code after all: its trade is closed as soon as it is seen.
    shop.scan(&old).unwrap();
    shop.clock.advance_ms(60_000);
    assert!(shop.engine.reconcile().await > 0);
    assert_eq!(shop.states(), [(Wxpay, State::Unpaid), (Alipay, State::Closed)]);
    assert!(shop.pay(&old).is_err());
    assert!(shop.pay(&new).is_ok());
}

#[tokio::test]
async fn a_scanned_alipay_code_is_closed_before_wechat_opens() {
    let shop = Shop::open().await;
    let old = shop.create(&qr(Alipay)).await.unwrap();
    shop.scan(&old).unwrap();
    shop.create(&qr(Wxpay)).await.unwrap();
    assert_eq!(shop.states(), [(Wxpay, State::Unpaid), (Alipay, State::Closed)]);
}

#[tokio::test]
async fn a_scanned_alipay_code_that_alipay_does_not_find_to_close_holds_nothing_back() {
    let shop = Shop::open().await;
    let old = shop.create(&qr(Alipay)).await.unwrap();
    shop.scan(&old).unwrap();
    shop.fault_of(ProviderOperation::Close, refuse("ACQ.TRADE_NOT_EXIST", "交易不存在"));
    shop.create(&qr(Wxpay)).await.unwrap();
    assert_eq!(shop.states(), [(Wxpay, State::Unpaid), (Alipay, State::Unpaid)]);
    shop.clock.advance_ms(60_000);
    assert!(shop.engine.reconcile().await > 0);
    assert_eq!(shop.states(), [(Wxpay, State::Unpaid), (Alipay, State::Closed)], "it is watched");
}

#[tokio::test]
async fn alipay_to_alipay_shares_one_trade_while_nobody_scanned() {
    let shop = Shop::open().await;
    let code = shop.create(&qr(Alipay)).await.unwrap();
    let string = shop.create(&app(Alipay)).await.unwrap();
    let [order] = &shop.providers.orders()[..] else { panic!("one number") };
    assert_eq!((order.out_trade_no.as_str(), order.state), (NO, State::Offered));
    shop.pay(&string).unwrap();
    assert!(shop.pay(&code).is_err(), "one trade is paid once");
    assert_eq!(kind(shop.create(&qr(Wxpay)).await), Some(Kind::AlreadyPaid));
}

#[tokio::test]
async fn a_shared_alipay_trade_that_the_buyer_opened_is_left_alone() {
    let shop = Shop::open().await;
    shop.create(&qr(Alipay)).await.unwrap();
    let string = shop.create(&app(Alipay)).await.unwrap();
    shop.scan(&string).unwrap();
    shop.clock.advance_ms(60_000);
    shop.engine.reconcile().await;
    assert_eq!(shop.states(), [(Alipay, State::Unpaid)]);
    assert!(shop.pay(&string).is_ok());
}

#[tokio::test]
async fn alipay_to_alipay_closes_a_trade_that_the_buyer_opened() {
    let shop = Shop::open().await;
    let code = shop.create(&qr(Alipay)).await.unwrap();
    shop.scan(&code).unwrap();
    let string = shop.create(&app(Alipay)).await.unwrap();
    assert!(shop.pay(&code).is_err());
    let paid = shop.pay(&string).unwrap();
    assert!(paid.out_trade_no.starts_with("pg"));
}

#[tokio::test]
async fn going_back_to_a_superseded_code_shows_it_again_and_ends_the_other() {
    let shop = Shop::open().await;
    let code = shop.create(&qr(Alipay)).await.unwrap();
    let native = shop.create(&qr(Wxpay)).await.unwrap();
    let again = shop.create(&qr(Alipay)).await.unwrap();
    assert!(again.replayed);
    assert_eq!(material(&code), material(&again));
    shop.scan(&again).unwrap();
    assert_eq!(shop.engine.reconcile().await, 1, "one order was left");
    assert_eq!(shop.states(), [(Wxpay, State::Closed), (Alipay, State::Unpaid)]);
    assert!(shop.pay(&native).is_err());
    assert!(shop.pay(&again).is_ok());
}

#[tokio::test]
async fn of_an_order_whose_buyer_went_back_only_what_the_buyer_left_is_asked_about() {
    let shop = Shop::open().await;
    shop.create(&qr(Alipay)).await.unwrap();
    shop.create(&qr(Wxpay)).await.unwrap();
    let left = shop.create(&app(Wxpay)).await.unwrap();
    assert!(shop.create(&qr(Alipay)).await.unwrap().replayed);
    let calls = || ["wxpay.query", "alipay.query"].map(|kind| shop.providers.calls(kind));
    let [wxpay, alipay] = calls();
    shop.engine.reconcile().await;
    assert_eq!(calls(), [wxpay + 1, alipay], "not about the closed one, nor the offered one");
    assert!(shop.pay(&left).is_err());
}

#[tokio::test]
async fn an_order_that_was_paid_meanwhile_opens_no_other_way() {
    let ways: [(Value, Value); 4] = [
        (qr(Wxpay), qr(Alipay)),
        (qr(Alipay), qr(Wxpay)),
        (qr(Wxpay), app(Wxpay)),
        (qr(Alipay), app(Alipay)),
    ];
    for (first, second) in ways {
        let shop = Shop::open().await;
        let created = shop.create(&first).await.unwrap();
        shop.pay(&created).unwrap();
        let before = shop.creates();
        let error = shop.create(&second).await.unwrap_err();
        assert_eq!((error.kind(), error.status()), (Kind::AlreadyPaid, Some(1)));
        assert_eq!(shop.creates(), before);
        assert_eq!(kind(shop.create(&first).await), Some(Kind::AlreadyPaid), "nor a replay");
    }
}

#[tokio::test]
async fn what_cannot_be_asked_or_closed_lets_nothing_else_open() {
    for operation in [ProviderOperation::Query, ProviderOperation::Close] {
        for loss in [FaultKind::LoseRequest, FaultKind::LoseReply, FaultKind::BadSignature] {
            let shop = Shop::open().await;
            shop.create(&qr(Wxpay)).await.unwrap();
            shop.fault_of(operation, loss.clone());
            let answer = shop.create(&qr(Alipay)).await;
            assert_eq!(kind(answer), Some(Kind::OutcomeUnknown), "{operation:?} {loss:?}");
            assert_eq!(shop.creates(), 1);
            assert!(shop.create(&qr(Alipay)).await.is_ok(), "{operation:?} {loss:?}");
            assert_eq!(open_orders(&shop), 0, "only Alipay's code is offered");
        }
    }
}

#[tokio::test]
async fn while_the_buyer_is_paying_another_way_has_to_wait() {
    let shop = Shop::open().await;
    let first = shop.create(&qr(Wxpay)).await.unwrap();
    shop.fault_of(ProviderOperation::Close, refuse("FREQUENCY_LIMITED", "the buyer is paying"));
    assert_eq!(kind(shop.create(&qr(Alipay)).await), Some(Kind::Busy));
    assert_eq!(shop.creates(), 1);
    assert!(shop.pay(&first).is_ok());
}

#[tokio::test]
async fn a_rejected_switch_leaves_the_first_way_as_it_is() {
    let shop = Shop::open_as(|it| it.switching(Switching::Reject)).await;
    let first = shop.create(&qr(Wxpay)).await.unwrap();
    for other in [qr(Alipay), app(Wxpay)] {
        assert_eq!(kind(shop.create(&other).await), Some(Kind::SwitchRejected));
    }
    let again = shop.create(&qr(Wxpay)).await.unwrap();
    assert!(again.replayed);
    assert_eq!(material(&first), material(&again));
    assert_eq!(shop.creates(), 1);
    // What nobody can pay any more is no way to be kept.
    let lapses = shop.order(NO).await.attempts[0].lapses();
    shop.clock.advance_ms(lapses.since(shop.clock.now()) - 1);
    assert_eq!(kind(shop.create(&qr(Alipay)).await), Some(Kind::SwitchRejected));
    shop.clock.advance_ms(1);
    assert!(shop.create(&qr(Alipay)).await.is_ok());
}

#[tokio::test]
async fn an_order_changes_its_way_to_pay_at_most_seven_times() {
    let shop = Shop::open().await;
    let ways = [qr(Wxpay), app(Wxpay)];
    for n in 0..8 {
        let created = shop.create(&ways[n % 2]).await;
        assert!(created.is_ok(), "{n}: {created:?}");
    }
    for _ in 0..2 {
        assert_eq!(kind(shop.create(&ways[0]).await), Some(Kind::SwitchRejected));
    }
    assert!(shop.create(&ways[1]).await.unwrap().replayed, "the last one stays");
    assert_eq!(open_orders(&shop), 1);
    assert_eq!(shop.creates(), 8);
}

#[tokio::test]
async fn a_way_to_pay_that_is_not_possible_closes_nothing() {
    let shop = Shop::open().await;
    let first = shop.create(&qr(Wxpay)).await.unwrap();
    let impossible = mini(Alipay, "not-alipays");
    shop.fault(refuse("ACQ.INVALID_PARAMETER", "no such buyer"));
    assert_eq!(kind(shop.create(&impossible).await), Some(Kind::ProviderRefused));
    // The first way was closed for it, and comes back under another number.
    assert!(shop.pay(&first).is_err());
    let again = shop.create(&qr(Wxpay)).await.unwrap();
    assert!(shop.pay(&again).is_ok());
}
