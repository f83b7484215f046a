//! Messages that disagree about one payment, and payments that no attempt of their order made.

use std::sync::Arc;

use paygate::domain::PaymentRole::{Duplicate, Mismatch, Winning};
use paygate::domain::ProviderId::{Alipay, Wxpay};
use paygate::domain::{
    ApiVersion, AutoRefundPolicy, Fen, Millis, ProviderId, Receipt, TradeUpdate, TransactionId,
    Transition,
};
use paygate::error::Kind;
use paygate::mock::{FaultKind, ProviderOperation};
use paygate::store::{Committed, Memory, Store};
use serde_json::{Value, json};

use crate::support::notifications::address;
use crate::support::requests::{MINUTE, NO, qr_with_custom};
use crate::support::shop::{Shop, body, run_background, with};
use crate::support::webhook::{RecordingWebhook, shop_with_webhook};

/// A paid order, of whose payment a verified message of another amount was recorded first; its
/// own notification is still to come.
async fn disputed(provider: ProviderId, claimed_fee: u64) -> (Shop, RecordingWebhook) {
    let (other, webhook) = shop_with_webhook().await;
    let (clock, providers) = (other.clock.clone(), other.providers.clone());
    let store = Arc::new(Memory::new());
    let hears = webhook.clone();
    let shop = Shop::over(clock, store.clone(), providers, |it| it.webhook(hears)).await;
    let created = shop.create(&qr_with_custom(provider)).await.unwrap();
    let paid = shop.pay(&created).unwrap();
    let receipt = Receipt {
        transaction_id: TransactionId(paid.transaction_id.unwrap().into()),
        total_fee: Fen::new(claimed_fee).unwrap(),
        paid_at: Millis(1),
        openid: None,
        matches_order: true,
        refunded: false,
        auto_refund: AutoRefundPolicy { duplicate: true, late: true },
        message: Arc::new(json!({})),
    };
    let event =
        Transition::TradeQueried { n: 1, at: Millis(1), update: TradeUpdate::Paid(receipt) };
    let next = shop.order(NO).await.apply(event).unwrap();
    assert_eq!(store.commit(&next, &[]).await, Ok(Committed::Done));
    (shop, webhook)
}

#[tokio::test]
async fn of_two_messages_that_disagree_the_providers_answer_counts() {
    for provider in [Wxpay, Alipay] {
        let (shop, webhook) = disputed(provider, 999).await;
        let order = shop.order(NO).await;
        assert_eq!((order.payments[0].role, order.flags.mismatch), (Mismatch, true));
        assert_eq!(shop.notify().await, [Ok(())], "{provider}");
        assert_eq!(shop.providers.calls(&format!("{provider}.query")), 1, "{provider} was asked");
        let order = shop.order(NO).await;
        let [payment] = &order.payments[..] else { panic!("{provider}: one payment") };
        assert_eq!((payment.role, payment.total_fee.fen()), (Winning, 100), "{provider}");
        assert_eq!((order.status.number(), order.flags.mismatch), (1, false), "{provider}");
        shop.engine.dispatch().await;
        assert_eq!(webhook.events(), ["payment.succeeded"], "{provider}");
    }
}

#[tokio::test]
async fn while_the_provider_cannot_settle_it_nothing_is_acknowledged_and_nothing_changes() {
    let (shop, _) = disputed(Wxpay, 999).await;
    let before = shop.order(NO).await;
    shop.fault_of(ProviderOperation::Query, FaultKind::LoseReply);
    assert_eq!(shop.notify().await, [Err(Kind::OutcomeUnknown)]);
    assert_eq!(shop.order(NO).await, before);
    shop.clock.advance_ms(MINUTE);
    assert_eq!(shop.notify().await, [Ok(())], "it came again");
}

#[tokio::test]
async fn however_many_notifications_come_at_once_all_are_acknowledged() {
    for provider in [Wxpay, Alipay] {
        let (shop, webhook) = shop_with_webhook().await;
        let created = shop.create(&qr_with_custom(provider)).await.unwrap();
        shop.pay(&created).unwrap();
        let notification = shop.providers.notifications().remove(0);
        let mut running = tokio::task::JoinSet::new();
        for _ in 0..64 {
            let (shop, notification) = (shop.clone(), notification.clone());
            running.spawn(async move { shop.take(&notification).await });
        }
        // A request that works on the order meanwhile holds nobody up.
        let other = with(qr_with_custom(provider), "/context/PLATFORM", json!("app"));
        let work = shop.create(&other);
        let (answers, _) = tokio::join!(running.join_all(), work);
        assert!(answers.iter().all(Result::is_ok), "{provider}: {answers:?}");
        shop.engine.dispatch().await;
        assert_eq!(webhook.events(), ["payment.succeeded"], "{provider}");
    }
}

/// A shop that knows the order by another provider, or not at all, and one that opened it at
/// `provider` before it was known here.
async fn elsewhere(provider: ProviderId) -> (Shop, RecordingWebhook, paygate::engine::Created) {
    let (shop, webhook) = shop_with_webhook().await;
    let (clock, providers) = (shop.clock.clone(), shop.providers.clone());
    let before = Shop::at(clock, Memory::new(), providers, |it| it).await;
    let created = before.create(&qr_with_custom(provider)).await.unwrap();
    (shop, webhook, created)
}

#[tokio::test]
async fn a_payment_at_a_provider_where_the_order_has_no_attempt_is_the_orders() {
    for (provider, other) in [(Wxpay, Alipay), (Alipay, Wxpay)] {
        let (shop, webhook, there) = elsewhere(other).await;
        let here = shop.create(&qr_with_custom(provider)).await.unwrap();
        shop.pay(&there).unwrap();
        assert_eq!(shop.notify().await, [Ok(())], "{other}");
        run_background().await;
        let order = shop.order(NO).await;
        assert_eq!(order.status.number(), 1, "{other}: the first payment makes it paid");
        let attempt = order.attempt(order.payments[0].attempt).unwrap();
        assert_eq!((attempt.n, attempt.method.provider()), (2, other));
        let notify_url = format!("https://shop.example.com{}", address(other));
        assert_eq!(attempt.params.notify_url, notify_url);
        assert!(provider == Alipay || shop.pay(&here).is_err(), "the other way was closed");
        shop.engine.dispatch().await;
        assert_eq!(webhook.events(), ["payment.succeeded"], "{other}");
        // It can be returned as any other payment.
        let wanted = paygate::engine::RefundRequest {
            out_trade_no: order.out_trade_no().clone(),
            out_refund_no: None,
            refund_fee: None,
            refund_desc: None,
            transaction_id: None,
        };
        shop.engine.refund(wanted).await.unwrap();
        for _ in 0..4 {
            shop.clock.advance_ms(MINUTE);
            shop.notify().await;
            shop.engine.reconcile().await;
        }
        assert_eq!(shop.order(NO).await.status.number(), 3, "{other}");
        assert_eq!(shop.providers.money().refunded, 100, "{other}");
    }
}

#[tokio::test]
async fn a_later_one_is_a_duplicate_and_goes_back() {
    let (shop, webhook, there) = elsewhere(Alipay).await;
    let here = shop.create(&qr_with_custom(Wxpay)).await.unwrap();
    shop.pay(&here).unwrap();
    assert_eq!(shop.notify().await, [Ok(())]);
    shop.pay(&there).unwrap();
    for _ in 0..4 {
        shop.clock.advance_ms(MINUTE);
        shop.notify().await;
        run_background().await;
        shop.engine.reconcile().await;
        run_background().await;
    }
    let order = shop.order(NO).await;
    let roles: Vec<_> = order.payments.iter().map(|it| it.role).collect();
    assert_eq!(roles, [Winning, Duplicate]);
    assert_eq!(shop.providers.money().refunded, 100);
    while shop.engine.dispatch().await > 0 {}
    let mut events = webhook.events();
    events.sort_unstable();
    assert_eq!(events, ["duplicate.refunded", "payment.duplicate", "payment.succeeded"]);
}

#[tokio::test]
async fn a_payment_of_another_amount_is_a_mismatch_there_too() {
    let (shop, _) = shop_with_webhook().await;
    let (clock, providers) = (shop.clock.clone(), shop.providers.clone());
    let before = Shop::at(clock, Memory::new(), providers, |it| it).await;
    let there =
        before.create(&with(qr_with_custom(Alipay), "/data/total_fee", json!(999))).await.unwrap();
    shop.create(&qr_with_custom(Wxpay)).await.unwrap();
    shop.pay(&there).unwrap();
    assert_eq!(shop.notify().await, [Err(Kind::Mismatched)]);
    let order = shop.order(NO).await;
    assert_eq!((order.payments[0].role, order.status.number()), (Mismatch, 0));
}

#[tokio::test]
async fn a_payment_of_no_order_is_recorded_once_told_and_not_acknowledged() {
    for provider in [Wxpay, Alipay] {
        let (shop, webhook, there) = elsewhere(provider).await;
        let paid = shop.pay(&there).unwrap();
        for _ in 0..3 {
            assert_eq!(shop.notify().await, [Err(Kind::NoSuchOrder)], "{provider}");
            shop.clock.advance_ms(15 * MINUTE);
        }
        shop.engine.dispatch().await;
        shop.engine.dispatch().await;
        assert_eq!(webhook.events(), ["payment.unmatched"], "{provider}");
        let event: Value = serde_json::from_str(&webhook.received()[0].body).unwrap();
        assert_eq!(event["livemode"], false, "{provider}");
        let [unmatched] = &shop.engine.unmatched(9).await.unwrap()[..] else {
            panic!("{provider}: one is listed")
        };
        assert_eq!(Some(unmatched.transaction_id.0.to_string()), paid.transaction_id);
        assert_eq!((unmatched.total_fee.fen(), unmatched.channel_no.as_str()), (100, NO));
        assert!(!unmatched.account.is_empty(), "{provider}");
        let asked = shop.providers.calls(&format!("{provider}.query"));
        assert!(asked > 0, "{provider}: its answer is what is recorded");
        // The order comes to be known: its payment is matched.
        assert!(shop.create(&qr_with_custom(provider)).await.is_err(), "it was paid");
        shop.notify().await;
        assert_eq!(shop.order(NO).await.status.number(), 1, "{provider}");
        assert_eq!(shop.engine.unmatched(9).await.unwrap().len(), 0, "{provider}");
    }
}

#[tokio::test]
async fn another_merchants_order_is_not_paid_by_this_ones_payment() {
    let (shop, _, there) = elsewhere(Alipay).await;
    let foreign = with(body(Wxpay, NO, 100), "/data/pid", json!("001"));
    shop.create(&foreign).await.unwrap();
    shop.pay(&there).unwrap();
    assert_eq!(shop.notify().await, [Err(Kind::NoSuchOrder)]);
    assert_eq!(shop.order(NO).await.status.number(), 0);
    assert_eq!(shop.engine.unmatched(9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_notification_of_another_version_than_the_attempt_was_opened_in_is_not_believed() {
    let (other, _) = shop_with_webhook().await;
    let (clock, providers) = (other.clock.clone(), other.providers.clone());
    let store = Arc::new(Memory::new());
    let shop = Shop::over(clock, store.clone(), providers, |it| it).await;
    let created = shop.create(&qr_with_custom(Wxpay)).await.unwrap();
    shop.pay(&created).unwrap();
    let mut next = shop.order(NO).await;
    next.version += 1;
    next.attempts[0].account.as_mut().unwrap().api_version = ApiVersion::WxpayV2;
    assert_eq!(store.commit(&next, &[]).await, Ok(Committed::Done));
    assert_eq!(shop.notify().await, [Err(Kind::Unverifiable)]);
    assert_eq!(shop.order(NO).await, next);
}
