//! Orders that the shop closes: what the provider says wins.
#![cfg(all(feature = "mock", feature = "wxpay", feature = "alipay"))]

use paygate::domain::ProviderId::{Alipay, Wxpay};
use paygate::error::Kind;
use paygate::mock::{FaultKind, ProviderOperation, Refuse, State};

use crate::support::refunds::{check_money, number, purchase, sent_events, settle, status};
use crate::support::requests::{NO, material, qr};
use crate::support::shop::{body, kind};
use crate::support::webhook::shop_with_webhook;

#[tokio::test]
async fn a_payment_in_the_middle_of_closing_wins() {
    for provider in [Wxpay, Alipay] {
        let (shop, webhook) = shop_with_webhook().await;
        let created = shop.create(&qr(provider)).await.unwrap();
        shop.scan(&created).unwrap();
        shop.fault_of(ProviderOperation::Close, FaultKind::PayFirst);
        let error = shop.engine.close(&number(NO)).await.unwrap_err();
        assert_eq!((error.kind(), error.status()), (Kind::AlreadyPaid, Some(1)), "{provider}");
        settle(&shop).await;
        assert_eq!(status(&shop).await, 1, "{provider}");
        assert_eq!(sent_events(&shop, &webhook).await, ["payment.succeeded"], "{provider}");
        check_money(&shop, 100, 0);
    }
}

#[tokio::test]
async fn closing_during_the_notification_of_a_payment_closes_nothing() {
    for provider in [Wxpay, Alipay] {
        let (shop, webhook) = shop_with_webhook().await;
        let created = shop.create(&qr(provider)).await.unwrap();
        shop.pay(&created).unwrap();
        let news = shop.providers.notifications().remove(0);
        let no = number(NO);
        let (closed, heard) = tokio::join!(shop.engine.close(&no), shop.take(&news));
        assert_eq!((kind(closed), heard), (Some(Kind::AlreadyPaid), Ok(())), "{provider}");
        settle(&shop).await;
        assert_eq!(sent_events(&shop, &webhook).await, ["payment.succeeded"], "{provider}");
        assert_eq!(status(&shop).await, 1, "{provider}");
        check_money(&shop, 100, 0);
    }
}

#[tokio::test]
async fn a_closed_order_can_be_closed_again_and_not_paid() {
    for provider in [Wxpay, Alipay] {
        let (shop, webhook) = shop_with_webhook().await;
        let created = shop.create(&qr(provider)).await.unwrap();
        shop.scan(&created).unwrap();
        let no = number(NO);
        let (one, two) = tokio::join!(shop.engine.close(&no), shop.engine.close(&no));
        assert_eq!((kind(one), kind(two)), (None, None), "{provider}");
        shop.engine.close(&no).await.unwrap();
        assert_eq!(shop.ledger(NO)[0].state, State::Closed, "{provider}");
        assert!(shop.pay(&created).is_err(), "{provider}");
        for provider in [Wxpay, Alipay] {
            assert_eq!(kind(shop.create(&qr(provider)).await), Some(Kind::Closed));
        }
        assert_eq!(sent_events(&shop, &webhook).await, [""; 0], "the shop closed it itself");
    }
}

#[tokio::test]
async fn every_way_to_pay_is_closed() {
    let (shop, _) = shop_with_webhook().await;
    let code = shop.create(&qr(Alipay)).await.unwrap();
    shop.scan(&code).unwrap();
    let native = shop.create(&qr(Wxpay)).await.unwrap();
    shop.engine.close(&number(NO)).await.unwrap();
    assert!(shop.pay(&native).is_err() && shop.pay(&code).is_err());
    assert_eq!(status(&shop).await, -1);
}

#[tokio::test]
async fn an_unknown_outcome_closes_nothing_and_is_asked_about_again() {
    for provider in [Wxpay, Alipay] {
        for operation in [ProviderOperation::Query, ProviderOperation::Close] {
            for lost in [FaultKind::LoseReply, FaultKind::LoseRequest, FaultKind::Status500] {
                let (shop, _) = shop_with_webhook().await;
                let created = shop.create(&qr(provider)).await.unwrap();
                shop.scan(&created).unwrap();
                shop.fault_of(operation, lost.clone());
                let closed = shop.engine.close(&number(NO)).await;
                let seen = (kind(closed), status(&shop).await);
                assert_eq!(seen, (Some(Kind::OutcomeUnknown), 0), "{provider} {lost:?}");
                shop.engine.close(&number(NO)).await.unwrap();
                assert_eq!(status(&shop).await, -1, "{provider} {operation:?} {lost:?}");
                assert!(shop.pay(&created).is_err(), "{provider}");
            }
        }
    }
}

#[tokio::test]
async fn a_code_whose_close_has_no_answer_is_not_handed_out_again() {
    for lost in [FaultKind::LoseReply, FaultKind::LoseRequest, FaultKind::Status500] {
        let (shop, _) = shop_with_webhook().await;
        let old = shop.create(&qr(Wxpay)).await.unwrap();
        shop.fault_of(ProviderOperation::Close, lost.clone());
        let closed = shop.engine.close(&number(NO)).await;
        assert_eq!(kind(closed), Some(Kind::OutcomeUnknown), "{lost:?}");
        let new = shop.create(&qr(Wxpay)).await.unwrap();
        assert_ne!(material(&new), material(&old), "{lost:?}");
        assert!(shop.pay(&old).is_err() && shop.pay(&new).is_ok(), "{lost:?}");
    }
}

#[tokio::test]
async fn a_provider_that_has_an_order_and_then_none_has_not_closed_it() {
    let (shop, _) = shop_with_webhook().await;
    let created = shop.create(&qr(Wxpay)).await.unwrap();
    let (code, message) = ("ORDER_NOT_EXIST".to_owned(), "no such order".to_owned());
    let none = FaultKind::Refuse(Refuse { code, message, status: Some(404) });
    shop.fault_of(ProviderOperation::Close, none);
    let error = shop.engine.close(&number(NO)).await.unwrap_err();
    assert_eq!((error.kind(), error.provider()), (Kind::OutcomeUnknown, None));
    assert_eq!(status(&shop).await, 0);
    shop.pay(&created).unwrap();
    assert_eq!(shop.notify().await, [Ok(())]);
    assert_eq!(status(&shop).await, 1);
}

#[tokio::test]
async fn a_close_that_is_not_sent_leaves_the_outcome_unknown_after_one_that_was() {
    let (shop, _) = shop_with_webhook().await;
    for no in ["order-0002", "order-0003"] {
        let created = shop.create(&body(Alipay, no, 100)).await.unwrap();
        shop.scan(&created).unwrap();
    }
    let code = shop.create(&qr(Alipay)).await.unwrap();
    let native = shop.create(&qr(Wxpay)).await.unwrap();
    shop.scan(&code).unwrap();
    // Alipay fails, until paygate stops sending it closes.
    for _ in 0..5 {
        shop.fault_of(ProviderOperation::Close, FaultKind::LoseRequest);
        let closed = shop.engine.close(&number("order-0002")).await;
        assert_eq!(kind(closed), Some(Kind::OutcomeUnknown));
    }
    let one = shop.engine.close(&number("order-0003")).await;
    assert_eq!(kind(one), Some(Kind::NotSent), "nothing of it was sent");
    let second = shop.engine.close(&number(NO)).await;
    assert_eq!(kind(second), Some(Kind::OutcomeUnknown), "WeChat Pay's trade was closed");
    assert_eq!(status(&shop).await, 0);
    assert!(shop.pay(&native).is_err());
}

#[tokio::test]
async fn an_order_that_its_buyer_is_paying_stays_open() {
    let (shop, webhook) = shop_with_webhook().await;
    shop.create(&qr(Wxpay)).await.unwrap();
    shop.providers.enter_password(&purchase(Wxpay)).unwrap();
    assert_eq!(kind(shop.engine.close(&number(NO)).await), Some(Kind::Busy));
    assert_eq!(status(&shop).await, 0);
    shop.providers.pay(&purchase(Wxpay)).unwrap();
    settle(&shop).await;
    assert_eq!(sent_events(&shop, &webhook).await, ["payment.succeeded"]);
}

#[tokio::test]
async fn an_order_that_nobody_knows_is_not_closed() {
    let (shop, _) = shop_with_webhook().await;
    assert_eq!(kind(shop.engine.close(&number(NO)).await), Some(Kind::NoSuchOrder));
}
