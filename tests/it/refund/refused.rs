//! Refunds that their provider refuses, and what is sent after a refusal.

use paygate::domain::ProviderId::{Alipay, Wxpay};
use paygate::domain::Refund;
use paygate::domain::RefundState::{Closed, Processing, Success};
use paygate::error::Kind;
use paygate::mock::{FaultKind, ProviderOperation};

use crate::support::refunds::{
    check_money, number, paid, purchase, refund, sent_events, settle, state,
};
use crate::support::requests::{MINUTE, NO, qr, refuse};
use crate::support::shop::{Shop, kind, run_background};
use crate::support::webhook::shop_with_webhook;

const HOUR: i64 = 60 * MINUTE;

fn refusal() -> FaultKind {
    refuse("NOT_ENOUGH", "基本账户余额不足，请充值后重新发起")
}

/// The next sending of a refund meets `fault`.
fn meets(shop: &Shop, fault: FaultKind) {
    shop.fault_of(ProviderOperation::Refund, fault);
}

#[tokio::test]
async fn a_refund_that_was_refused_beside_a_lost_sending_is_sent_when_it_is_requested_again() {
    let (shop, _) = shop_with_webhook().await;
    paid(&shop, Wxpay).await;
    meets(&shop, FaultKind::LoseRequest);
    assert_eq!(refund(&shop, "r-1", 30).await.unwrap().refund.state, Processing);
    meets(&shop, refusal());
    shop.clock.advance_ms(MINUTE);
    shop.engine.reconcile().await;
    assert_eq!(state(&shop, "r-1").await, Processing, "the lost sending may still arrive");
    for _ in 0..26 {
        shop.clock.advance_ms(HOUR);
        shop.engine.reconcile().await;
    }
    assert_eq!(state(&shop, "r-1").await, Closed);
    assert_eq!(shop.providers.calls("wxpay.refund"), 2);
    refund(&shop, "r-1", 30).await.unwrap();
    assert_eq!(shop.providers.calls("wxpay.refund"), 3);
    settle(&shop).await;
    assert_eq!(state(&shop, "r-1").await, Success);
    check_money(&shop, 100, 30);
}

#[tokio::test]
async fn a_refusal_after_a_refund_of_ours_proves_no_refund_of_others() {
    for provider in [Wxpay, Alipay] {
        let (shop, webhook) = shop_with_webhook().await;
        paid(&shop, provider).await;
        refund(&shop, "r-1", 40).await.unwrap();
        settle(&shop).await;
        meets(&shop, FaultKind::NotEnough);
        let refused = kind(refund(&shop, "r-2", 30).await);
        assert_eq!(refused, Some(Kind::ProviderRefused), "{provider}");
        let all = shop.engine.query_refunds(&number(NO)).await.unwrap();
        assert_eq!((all.refund_fee, all.refund_unknown), (40, false), "{provider}");
        let events = sent_events(&shop, &webhook).await;
        assert!(!events.contains(&"refund.abnormal"), "{provider}: {events:?}");
    }
}

/// Alipay was paid first, and WeChat Pay too; the first sending of the duplicate's refund meets
/// `fault`.
async fn duplicate(fault: FaultKind) -> Shop {
    let (shop, _) = shop_with_webhook().await;
    let code = shop.create(&qr(Alipay)).await.unwrap();
    shop.create(&qr(Wxpay)).await.unwrap();
    shop.providers.pay(&purchase(Wxpay)).unwrap();
    shop.pay(&code).unwrap();
    meets(&shop, fault);
    let mut news = shop.providers.notifications();
    news.sort_by_key(|it| it.provider != Alipay);
    for notification in &news {
        assert_eq!(shop.take(notification).await, Ok(()));
        shop.providers.record_answer(notification, 200, b"success");
    }
    run_background().await;
    shop
}

async fn automatic(shop: &Shop) -> Refund {
    let order = shop.order(NO).await;
    let mut refunds = order.payments.iter().flat_map(|payment| &payment.refunds);
    refunds.find(|refund| refund.automatic).unwrap().clone()
}

#[tokio::test]
async fn a_duplicate_is_refunded_at_once_and_its_buyer_reads_why() {
    let shop = duplicate(FaultKind::NotifyNever).await;
    let refund = automatic(&shop).await;
    assert_eq!(refund.refund_desc.as_deref(), Some("重复支付退款"));
    assert_eq!(refund.times_sent, 1, "no reconciler came");
    assert_eq!(shop.providers.calls("wxpay.refund"), 1);
}

#[tokio::test]
async fn an_automatic_refund_that_was_refused_is_requested_again_with_its_sendings_counted() {
    let shop = duplicate(refusal()).await;
    let refused = automatic(&shop).await;
    assert_eq!((refused.state, refused.times_sent, refused.times_answered), (Closed, 1, 1));
    meets(&shop, refusal());
    shop.clock.advance_ms(HOUR);
    shop.engine.reconcile().await;
    let refused = automatic(&shop).await;
    assert_eq!((refused.state, refused.times_sent, refused.times_answered), (Closed, 2, 2));
    shop.clock.advance_ms(HOUR);
    settle(&shop).await;
    assert_eq!(automatic(&shop).await.state, Success);
    check_money(&shop, 200, 100);
}

#[tokio::test]
async fn an_automatic_refund_is_sent_on_for_a_day_after_a_refusal_beside_a_lost_sending() {
    let shop = duplicate(FaultKind::LoseRequest).await;
    for sent in 2..=4 {
        meets(&shop, refusal());
        shop.clock.advance_ms(HOUR);
        shop.engine.reconcile().await;
        let pending = automatic(&shop).await;
        assert_eq!((pending.state, pending.times_sent), (Processing, sent));
        assert_eq!(shop.providers.calls("wxpay.refund"), u64::from(sent));
    }
    shop.clock.advance_ms(24 * HOUR);
    shop.engine.reconcile().await;
    assert_eq!(shop.providers.calls("wxpay.refund"), 4, "it is queried once more");
    assert_eq!(automatic(&shop).await.state, Closed);
    check_money(&shop, 200, 0);
}

#[tokio::test]
async fn a_late_payments_buyer_reads_why_it_is_refunded() {
    let (shop, _) = shop_with_webhook().await;
    let code = shop.create(&qr(Alipay)).await.unwrap();
    shop.engine.close(&number(NO)).await.unwrap();
    shop.pay(&code).unwrap();
    assert_eq!(shop.notify().await, [Ok(())]);
    run_background().await;
    let refund = automatic(&shop).await;
    assert_eq!(refund.refund_desc.as_deref(), Some("订单关闭后支付的退款"));
}
