//! What a provider's notification of a refund leads to, whatever paygate knows of its payment.

use std::sync::Arc;

use paygate::Clock;
use paygate::domain::PaymentRole::Mismatch;
use paygate::domain::ProviderId::{Alipay, Wxpay};
use paygate::domain::{Fen, ProviderId};
use paygate::error::Kind;
use paygate::mock::{
    ConsoleNotification, ConsoleRefund, FaultKind, InProcess, ProviderOperation,
    SignedNotification, SimulatedFault,
};
use paygate::store::Memory;
use serde_json::Value;

use crate::support::crashing_store::{Crashing, Moment, Then};
use crate::support::notifications::{alipay_notification_with, take};
use crate::support::refunds::{
    check_money, number, paid, purchase, refund, sent_events, settle, status,
};
use crate::support::requests::{NO, qr};
use crate::support::shop::{ManualClock, Shop, kind};
use crate::support::webhook::shop_with_webhook;

/// 40 fen of the order are refunded in the provider's console; returns the notification of it.
fn refunded_in_console(shop: &Shop, provider: ProviderId) -> SignedNotification {
    let (out_trade_no, amount) = (NO.to_owned(), Fen::new(40));
    let notification = ConsoleNotification::Regular;
    let refund = ConsoleRefund { provider, out_trade_no, amount, notification };
    shop.providers.refund_in_console(&refund).unwrap();
    shop.clock.advance_ms(10_000);
    let news = shop.providers.notifications();
    news.into_iter().find(|it| it.out_refund_no.is_some()).unwrap()
}

#[tokio::test]
async fn a_refund_in_the_console_is_recorded_as_its_provider_reports_it() {
    for provider in [Wxpay, Alipay] {
        let (shop, _) = shop_with_webhook().await;
        paid(&shop, provider).await;
        let made_at = shop.clock.now();
        let back = refunded_in_console(&shop, provider);
        assert_eq!(shop.take(&back).await, Ok(()));
        let order = shop.order(NO).await;
        let [refund] = &order.payments[0].refunds[..] else { panic!("{provider}: one refund") };
        assert_eq!(refund.refund_id.is_some(), provider == Wxpay, "Alipay has no such number");
        let refunded_at = refund.refunded_at.unwrap();
        assert!(refunded_at.since(made_at).abs() <= 10_000, "{provider}: {refunded_at:?}");
        assert_eq!(refund.requested_at, refunded_at, "{provider}");
        assert_eq!(refund.last_queried_at, Some(shop.clock.now()), "{provider}");
    }
}

#[tokio::test]
async fn a_refund_of_a_mismatched_payment_is_recorded() {
    let (shop, _) = shop_with_webhook().await;
    let created = shop.create(&qr(Alipay)).await.unwrap();
    let (kind, times) = (FaultKind::WrongAmount, 1);
    shop.providers.add_fault(SimulatedFault { provider: None, operation: None, kind, times });
    shop.pay(&created).unwrap();
    // Alipay's notification of the refund is the first that paygate hears of the payment.
    let back = refunded_in_console(&shop, Alipay);
    assert_eq!(shop.take(&back).await, Ok(()));
    let order = shop.order(NO).await;
    assert_eq!((order.payments[0].role, order.payments[0].refunded()), (Mismatch, 40));
}

/// A shop with an unpaid order by Alipay's code, whose store does not record the first report.
async fn unrecorded(writes: Option<u64>) -> (Shop, Crashing<Memory>) {
    let store = match writes {
        None => Crashing::counting(Memory::new()),
        Some(writes) => Crashing::at(Memory::new(), writes + 1, Moment::Before, Then::FailsOnce),
    };
    let clock = ManualClock::new();
    let providers = InProcess::open(None, Arc::new(clock.clone())).unwrap();
    let shop = Shop::at(clock, store.clone(), providers, |it| it).await;
    let created = shop.create(&qr(Alipay)).await.unwrap();
    shop.pay(&created).unwrap();
    (shop, store)
}

#[tokio::test]
async fn a_refund_whose_payment_was_not_recorded_is_not_acknowledged() {
    let writes = unrecorded(None).await.1.writes();
    let (shop, _) = unrecorded(Some(writes)).await;
    let back = refunded_in_console(&shop, Alipay);
    assert_eq!(shop.take(&back).await, Err(Kind::OutcomeUnknown));
    assert_eq!(shop.order(NO).await.payments, []);
    assert_eq!(shop.take(&back).await, Ok(()), "it comes again");
    assert_eq!(status(&shop).await, 2);
}

#[tokio::test]
async fn a_refund_is_of_the_attempt_at_its_own_provider() {
    let (shop, webhook) = shop_with_webhook().await;
    // WeChat Pay made a trade whose answer was lost; then the buyer chose Alipay, which has the
    // same number.
    shop.fault(FaultKind::LoseReply);
    shop.fault_of(ProviderOperation::Query, FaultKind::LoseReply);
    assert_eq!(kind(shop.create(&qr(Wxpay)).await), Some(Kind::OutcomeUnknown));
    shop.create(&qr(Alipay)).await.unwrap();
    shop.providers.pay(&purchase(Wxpay)).unwrap();
    let back = refunded_in_console(&shop, Wxpay);
    assert_eq!(shop.take(&back).await, Ok(()), "its payment is queried at WeChat Pay");
    assert_eq!(status(&shop).await, 2);
    assert_eq!(sent_events(&shop, &webhook).await, ["payment.succeeded", "refund.succeeded"]);
    check_money(&shop, 100, 40);
}

#[tokio::test]
async fn a_refund_without_an_amount_is_one_of_an_unknown_amount() {
    let (shop, webhook) = shop_with_webhook().await;
    paid(&shop, Alipay).await;
    let order = shop.ledger(NO).remove(0);
    for _ in 0..2 {
        let more = [("gmt_refund", "2025-11-23 20:13:30.000")];
        let notification = alipay_notification_with(&shop, &order, &more);
        assert_eq!(take(&shop, Alipay, notification).await, Ok(()));
    }
    let all = shop.engine.query_refunds(&number(NO)).await.unwrap();
    assert_eq!((all.refunds.len(), all.refund_fee, all.refund_unknown), (0, 0, true));
    assert_eq!(status(&shop).await, 2);
    assert_eq!(sent_events(&shop, &webhook).await, ["payment.succeeded", "refund.abnormal"]);
}

#[tokio::test]
async fn the_event_of_a_refund_has_its_providers_message_and_its_reason() {
    for provider in [Wxpay, Alipay] {
        let (shop, webhook) = shop_with_webhook().await;
        paid(&shop, provider).await;
        refund(&shop, "r-1", 30).await.unwrap();
        settle(&shop).await;
        sent_events(&shop, &webhook).await;
        let heard = webhook.received();
        let parsed = |name: &str| -> Value {
            let event = heard.iter().find(|it| it.event.name() == name).unwrap();
            serde_json::from_str(&event.body).unwrap()
        };
        let refunded = parsed("refund.succeeded");
        assert!(refunded["verifyResult"].is_object(), "{provider}: {refunded}");
        assert_eq!(refunded["data"]["refund_desc"], "one cup broke", "{provider}");
        assert_eq!(refunded["data"].get("refund_unknown"), None, "{provider}");
        let payment = parsed("payment.succeeded");
        assert_eq!(payment["data"].get("refund_unknown"), None, "{provider}");
        assert_eq!(payment["data"].get("refund_status"), None, "{provider}");
        let payer = shop.order(NO).await.payments[0].openid.clone().unwrap();
        assert_eq!(payment["data"]["openid"], payer, "{provider}");
    }
}
