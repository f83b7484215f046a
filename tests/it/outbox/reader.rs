//! The reader of an order's events, for the cashier page.

use std::collections::BTreeSet;

use paygate::domain::ProviderId::{Alipay, Wxpay};
use paygate::domain::{EventId, ProviderId, RefundState, TransactionId};
use paygate::engine::Builder;
use paygate::mock::RefundEnd;
use paygate::store::Memory;

use crate::support::refunds::{paid, refund, sent_events, settle};
use crate::support::requests::{NO, qr};
use crate::support::shop::Shop;
use crate::support::webhook::{RecordingWebhook, shop_with_webhook};

/// The ids of the events that the shop got, and of those that the reader finds by a payment.
async fn both(
    shop: &Shop,
    webhook: &RecordingWebhook,
    (provider, id): (ProviderId, &TransactionId),
) -> [BTreeSet<EventId>; 2] {
    shop.engine.dispatch().await;
    let events = shop.engine.event_reader().events_of_payment(provider, id).await.unwrap();
    let got = webhook.received().into_iter().map(|event| event.id).collect();
    [got, events.into_iter().map(|event| event.id).collect()]
}

#[tokio::test]
async fn the_reader_finds_every_event_of_an_order_by_any_of_its_payments() {
    let (shop, webhook) = shop_with_webhook().await;
    // Nobody has scanned Alipay's code, which therefore cannot be closed.
    let scanned_later = shop.create(&qr(Alipay)).await.unwrap();
    let winning = paid(&shop, Wxpay).await;
    shop.pay(&scanned_later).unwrap();
    shop.notify().await;
    refund(&shop, "r-1", 30).await.unwrap();
    settle(&shop).await;
    let order = shop.order(NO).await;
    assert_eq!(order.payments.len(), 2, "the second payment is a duplicate");
    let duplicate = &order.payments[1].transaction_id;
    for (provider, id) in [(Wxpay, &winning), (Alipay, duplicate)] {
        let [got, found] = both(&shop, &webhook, (provider, id)).await;
        assert!(got.len() >= 4, "{:?}", webhook.events());
        assert_eq!(found, got, "{provider}: {:?}", webhook.events());
    }
}

#[tokio::test]
async fn the_reader_finds_the_end_of_a_refund_that_needed_an_operator() {
    let (shop, webhook) = shop_with_webhook().await;
    let id = paid(&shop, Wxpay).await;
    refund(&shop, "r-1", 30).await.unwrap();
    for state in [RefundState::Abnormal, RefundState::Closed] {
        let end = RefundEnd {
            provider: Wxpay,
            out_trade_no: NO.to_owned(),
            out_refund_no: "r-1".to_owned(),
            state,
        };
        shop.providers.end_refund(&end).unwrap();
        shop.notify().await;
    }
    let [got, found] = both(&shop, &webhook, (Wxpay, &id)).await;
    let events = sent_events(&shop, &webhook).await;
    assert_eq!(events, ["payment.succeeded", "refund.abnormal", "refund.closed"]);
    assert_eq!(found, got);
}

#[tokio::test]
async fn the_reader_finds_the_event_of_a_payment_of_no_order() {
    for provider in [Wxpay, Alipay] {
        let (first, _) = shop_with_webhook().await;
        let created = first.create(&qr(provider)).await.unwrap();
        let payment = first.pay(&created).unwrap();
        let id = TransactionId(payment.transaction_id.unwrap().into());
        let webhook = RecordingWebhook::default();
        let with_webhook = |builder: Builder| builder.webhook(webhook.clone());
        let (clock, providers) = (first.clock.clone(), first.providers.clone());
        let shop = Shop::at(clock, Memory::new(), providers, with_webhook).await;
        shop.notify().await;
        let [got, found] = both(&shop, &webhook, (provider, &id)).await;
        assert_eq!(webhook.events(), ["payment.unmatched"], "{provider}");
        assert_eq!(found, got, "{provider}");
    }
}

#[tokio::test]
async fn the_reader_of_an_engine_that_was_dropped_answers_an_error() {
    let shop = Shop::open().await;
    let id = paid(&shop, Wxpay).await;
    let reader = shop.engine.event_reader();
    assert!(reader.events_of_payment(Wxpay, &id).await.is_ok());
    drop(shop);
    assert!(reader.events_of_payment(Wxpay, &id).await.is_err());
}
