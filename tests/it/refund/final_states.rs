//! A refund that has ended stays as it is, and is never sent again by itself.

use paygate::domain::ProviderId::{Alipay, Wxpay};
use paygate::domain::RefundState::{Closed, Success};
use paygate::error::Kind;
use paygate::mock::{FaultKind, ProviderOperation, RefundEnd};

use crate::support::refunds::{check_money, paid, refund, settle, state, status};
use crate::support::requests::{MINUTE, NO};
use crate::support::shop::kind;
use crate::support::webhook::shop_with_webhook;

#[tokio::test]
async fn a_refused_refund_is_not_sent_again_without_a_request() {
    for provider in [Wxpay, Alipay] {
        let (shop, _) = shop_with_webhook().await;
        paid(&shop, provider).await;
        shop.fault_of(ProviderOperation::Refund, FaultKind::NotEnough);
        assert_eq!(kind(refund(&shop, "r-1", 100).await), Some(Kind::ProviderRefused));
        let sent = shop.providers.calls(&format!("{provider}.refund"));
        for _ in 0..5 {
            shop.clock.advance_ms(MINUTE);
            shop.engine.reconcile().await;
        }
        for _ in 0..25 {
            shop.clock.advance_ms(60 * MINUTE);
            shop.engine.reconcile().await;
            shop.engine.query_refund("r-1").await.unwrap();
        }
        assert_eq!(shop.providers.calls(&format!("{provider}.refund")), sent, "{provider}");
        assert_eq!((state(&shop, "r-1").await, status(&shop).await), (Closed, 1), "{provider}");
        refund(&shop, "r-2", 100).await.unwrap();
        settle(&shop).await;
        assert_eq!((state(&shop, "r-1").await, status(&shop).await), (Closed, 3), "{provider}");
        check_money(&shop, 100, 100);
    }
}

#[tokio::test]
async fn a_notification_that_comes_after_a_newer_one_changes_nothing() {
    let (shop, _) = shop_with_webhook().await;
    paid(&shop, Wxpay).await;
    let abnormal = FaultKind::RefundEnds { state: paygate::domain::RefundState::Abnormal };
    shop.fault_of(ProviderOperation::Refund, abnormal);
    refund(&shop, "r-1", 30).await.unwrap();
    shop.clock.advance_ms(10_000);
    let late = shop.providers.notifications().remove(0);
    let (out_trade_no, out_refund_no) = (NO.to_owned(), "r-1".to_owned());
    let end = RefundEnd { provider: Wxpay, out_trade_no, out_refund_no, state: Success };
    shop.providers.end_refund(&end).unwrap();
    shop.notify().await;
    assert_eq!((state(&shop, "r-1").await, status(&shop).await), (Success, 2));
    assert_eq!(shop.take(&late).await, Ok(()), "it is acknowledged");
    assert_eq!((state(&shop, "r-1").await, status(&shop).await), (Success, 2));
    assert_eq!(shop.order(NO).await.due(), None, "nothing is left to query");
}
