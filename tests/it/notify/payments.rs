//! What a provider tells unasked.

use std::sync::Arc;

use bytes::Bytes;
use paygate::domain::Pid;
use paygate::domain::ProviderId::{Alipay, Wxpay};
use paygate::error::Kind;
use paygate::mock::{FaultKind, InProcess, PayWith, SimulatedPurchase, State};
use paygate::store::Memory;

use crate::support::crashing_store::{Crashing, Moment, Then};
use crate::support::requests::{MINUTE, NO, qr_with_custom};
use crate::support::shop::{ManualClock, Shop, kind, with};
use crate::support::webhook::shop_with_webhook;

#[tokio::test]
async fn a_payment_is_durable_with_its_event_before_it_is_acknowledged() {
    for provider in [Wxpay, Alipay] {
        let (shop, webhook) = shop_with_webhook().await;
        let created = shop.create(&qr_with_custom(provider)).await.unwrap();
        let paid = shop.pay(&created).unwrap();
        assert_eq!(shop.notify().await, [Ok(())], "{provider}");
        let order = shop.order(NO).await;
        assert_eq!(order.status.number(), 1);
        let payment = order.winning_payment().unwrap();
        assert_eq!(Some(payment.transaction_id.0.to_string()), paid.transaction_id);
        assert_eq!(webhook.events(), [""; 0], "the shop's own time is not the provider's");
        assert_eq!(shop.engine.dispatch().await, 1);
        assert_eq!(webhook.events(), ["payment.succeeded"]);
        assert_eq!(kind(shop.create(&qr_with_custom(provider)).await), Some(Kind::AlreadyPaid));
        assert_eq!(shop.notify().await, [], "{provider} was told that it is known");
    }
}

#[tokio::test]
async fn a_notification_repeated_and_at_once_changes_one_thing_and_is_always_acknowledged() {
    for provider in [Wxpay, Alipay] {
        let (shop, webhook) = shop_with_webhook().await;
        let created = shop.create(&qr_with_custom(provider)).await.unwrap();
        shop.pay(&created).unwrap();
        let notification = shop.providers.notifications().remove(0);
        let (one, two) = tokio::join!(shop.take(&notification), shop.take(&notification));
        assert_eq!((one, two), (Ok(()), Ok(())), "{provider}");
        let version = shop.order(NO).await.version;
        for _ in 0..16 {
            assert_eq!(shop.take(&notification).await, Ok(()));
        }
        assert_eq!(shop.order(NO).await.version, version, "nothing changes");
        shop.engine.dispatch().await;
        shop.engine.dispatch().await;
        assert_eq!(webhook.events(), ["payment.succeeded"]);
    }
}

#[tokio::test]
async fn a_payment_that_comes_before_the_create_reply_wins_over_it() {
    let (shop, webhook) = shop_with_webhook().await;
    shop.fault(FaultKind::Delay { ms: 60 });
    let asked = qr_with_custom(Wxpay);
    let buyer = async {
        let purchase = SimulatedPurchase {
            provider: Wxpay,
            with: PayWith::OutTradeNo(NO.to_owned()),
            payer: None,
        };
        while shop.providers.pay(&purchase).is_err() {
            tokio::task::yield_now().await;
        }
        shop.notify().await
    };
    let (created, notified) = tokio::join!(shop.create(&asked), buyer);
    assert_eq!(notified, [Ok(())]);
    assert_eq!(kind(created), Some(Kind::AlreadyPaid));
    assert_eq!(kind(shop.create(&asked).await), Some(Kind::AlreadyPaid), "nor a replay");
    shop.engine.dispatch().await;
    assert_eq!(webhook.events(), ["payment.succeeded"]);
}

#[tokio::test]
async fn a_payment_is_found_whatever_the_order_of_its_finding() {
    // Found by a question first, told afterwards.
    let (shop, webhook) = shop_with_webhook().await;
    let created = shop.create(&qr_with_custom(Wxpay)).await.unwrap();
    shop.pay(&created).unwrap();
    assert_eq!(kind(shop.create(&qr_with_custom(Alipay)).await), Some(Kind::AlreadyPaid));
    assert_eq!(shop.notify().await, [Ok(())]);
    shop.engine.dispatch().await;
    assert_eq!(webhook.events(), ["payment.succeeded"]);
}

#[tokio::test]
async fn the_first_payment_wins_the_second_is_told_as_a_duplicate_and_the_rest_is_closed() {
    for first_wins in [Alipay, Wxpay] {
        let (shop, webhook) = shop_with_webhook().await;
        let code = shop.create(&qr_with_custom(Alipay)).await.unwrap();
        let native = shop.create(&qr_with_custom(Wxpay)).await.unwrap();
        let (one, two) = if first_wins == Alipay { (&code, &native) } else { (&native, &code) };
        shop.pay(one).unwrap();
        shop.pay(two).unwrap();
        for _ in 0..2 {
            shop.clock.advance_ms(MINUTE);
            shop.notify().await;
        }
        while shop.engine.dispatch().await > 0 {}
        let mut events = webhook.events();
        // Whether it is back already is not the question here.
        events.retain(|it| *it != "duplicate.refunded");
        events.sort_unstable();
        assert_eq!(events, ["payment.duplicate", "payment.succeeded"], "{first_wins}");
        let order = shop.order(NO).await;
        assert_eq!((order.status.number(), order.flags.duplicate_paid), (1, true));
    }
}

#[tokio::test]
async fn what_can_still_be_paid_of_a_paid_order_is_closed_at_once() {
    let (shop, _) = shop_with_webhook().await;
    let code = shop.create(&qr_with_custom(Alipay)).await.unwrap();
    shop.create(&qr_with_custom(Wxpay)).await.unwrap();
    shop.pay(&code).unwrap();
    shop.notify().await;
    shop.engine.shutdown().await;
    assert_eq!(shop.states(), [(Wxpay, State::Closed), (Alipay, State::Paid)]);
}

#[tokio::test]
async fn another_amount_is_told_is_never_acknowledged_and_gives_no_more_material() {
    for provider in [Wxpay, Alipay] {
        // The provider has an order of another price under this number: a backup was restored.
        let before = Shop::open().await;
        let other = with(qr_with_custom(provider), "/data/total_fee", serde_json::json!(999));
        let created = before.create(&other).await.unwrap();
        let (shop, webhook) = {
            let webhook = crate::support::webhook::RecordingWebhook::default();
            let (clock, providers) = (before.clock.clone(), before.providers.clone());
            let hears = webhook.clone();
            let shop = Shop::at(clock, Memory::new(), providers, |it| it.webhook(hears)).await;
            (shop, webhook)
        };
        shop.fault(FaultKind::LoseRequest);
        shop.fault_of(paygate::mock::ProviderOperation::Query, FaultKind::LoseReply);
        assert_eq!(kind(shop.create(&qr_with_custom(provider)).await), Some(Kind::OutcomeUnknown));
        before.pay(&created).unwrap();
        for _ in 0..2 {
            assert_eq!(shop.notify().await, [Err(Kind::Mismatched)], "{provider}");
            shop.clock.advance_ms(15 * MINUTE);
        }
        let order = shop.order(NO).await;
        assert_eq!((order.status.number(), order.flags.mismatch), (0, true));
        let error = shop.create(&qr_with_custom(provider)).await.unwrap_err();
        assert_eq!((error.kind(), error.status()), (Kind::AlreadyPaid, Some(0)));
        shop.engine.dispatch().await;
        assert_eq!(webhook.events(), ["payment.mismatch"]);
    }
}

#[tokio::test]
async fn an_unknown_order_is_not_acknowledged_and_comes_again() {
    let before = Shop::open().await;
    let created = before.create(&qr_with_custom(Wxpay)).await.unwrap();
    before.pay(&created).unwrap();
    let (clock, providers) = (before.clock.clone(), before.providers.clone());
    let shop = Shop::at(clock, Memory::new(), providers, |it| it).await;
    assert_eq!(shop.notify().await, [Err(Kind::NoSuchOrder)]);
    shop.clock.advance_ms(MINUTE);
    assert_eq!(shop.notify().await, [Err(Kind::NoSuchOrder)], "it came again");
    shop.clock.advance_ms(MINUTE);
    assert_eq!(before.notify().await, [Ok(())], "where it is known");
}

#[tokio::test]
async fn a_forged_notification_touches_nothing_and_calls_nobody() {
    for provider in [Wxpay, Alipay] {
        let (shop, _) = shop_with_webhook().await;
        let created = shop.create(&qr_with_custom(provider)).await.unwrap();
        shop.pay(&created).unwrap();
        let notification = shop.providers.notifications().remove(0);
        let calls = || {
            ["query", "certificates"].map(|it| shop.providers.calls(&format!("{provider}.{it}")))
        };
        let (version, before) = (shop.order(NO).await.version, calls());
        let mut body = notification.body.to_vec();
        *body.last_mut().unwrap() ^= 1;
        let (pid, forged) = (Pid::default(), Bytes::from(body));
        let answer = shop.engine.notify(provider, &pid, &notification.headers, forged).await;
        assert_eq!(answer.unwrap_err().kind(), Kind::Unverifiable, "{provider}");
        let none = http::HeaderMap::new();
        let answer = shop.engine.notify(provider, &pid, &none, Bytes::new()).await;
        assert_eq!(answer.unwrap_err().kind(), Kind::Unverifiable, "{provider}");
        let stranger = Pid::new("nobody");
        let answer =
            shop.engine.notify(provider, &stranger, &notification.headers, notification.body).await;
        assert_eq!(answer.unwrap_err().kind(), Kind::NoSuchOrder, "{provider}");
        assert_eq!((shop.order(NO).await.version, calls()), (version, before), "{provider}");
    }
}

#[tokio::test]
async fn an_old_notification_replayed_is_none() {
    let (shop, _) = shop_with_webhook().await;
    let created = shop.create(&qr_with_custom(Wxpay)).await.unwrap();
    shop.pay(&created).unwrap();
    let notification = shop.providers.notifications().remove(0);
    shop.clock.advance_ms(6 * MINUTE);
    assert_eq!(shop.take(&notification).await, Err(Kind::Unverifiable));
    assert_eq!(shop.notify().await, [Ok(())], "the provider signs anew each time");
}

#[tokio::test]
async fn a_store_that_fails_acknowledges_nothing_and_the_next_process_hears_it_again() {
    let clock = ManualClock::new();
    let providers = InProcess::open(None, Arc::new(clock.clone())).unwrap();
    // Two writes open the order; the third is the payment's.
    let store = Crashing::at(Memory::new(), 3, Moment::Before, Then::Fails);
    let shop = Shop::at(clock.clone(), store.clone(), providers.clone(), |it| it).await;
    let created = shop.create(&qr_with_custom(Wxpay)).await.unwrap();
    shop.pay(&created).unwrap();
    assert_eq!(shop.notify().await, [Err(Kind::OutcomeUnknown)]);
    clock.advance_ms(MINUTE);
    let reopened = store.store().reopen();
    let webhook = crate::support::webhook::RecordingWebhook::default();
    let shop = Shop::at(clock, reopened, providers, |it| it.webhook(webhook.clone())).await;
    assert_eq!(shop.notify().await, [Ok(())]);
    shop.engine.dispatch().await;
    assert_eq!(webhook.events(), ["payment.succeeded"]);
}
