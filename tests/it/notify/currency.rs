//! A payment in another currency has the number of the order, and pays nothing of it.

use paygate::domain::PaymentRole::Mismatch;
use paygate::domain::ProviderId::{Alipay, Wxpay};
use paygate::error::Kind;
use paygate::mock::{ConsoleNotification, ConsoleRefund, FaultKind, SimulatedFault};
use paygate::store::Memory;

use crate::support::refunds::{purchase, sent_events, settle, status};
use crate::support::requests::{MINUTE, NO, qr};
use crate::support::shop::{Shop, kind};
use crate::support::webhook::shop_with_webhook;

/// A fault of the next payment.
fn add_fault(shop: &Shop, kind: FaultKind) {
    let fault = SimulatedFault { provider: None, operation: None, kind, times: 1 };
    shop.providers.add_fault(fault);
}

#[tokio::test]
async fn a_payment_in_another_currency_is_a_mismatch_however_it_becomes_known() {
    for is_notified in [true, false] {
        let (shop, webhook) = shop_with_webhook().await;
        let created = shop.create(&qr(Wxpay)).await.unwrap();
        add_fault(&shop, FaultKind::ForeignCurrency);
        let paid = shop.pay(&created).unwrap();
        assert_eq!(paid.payments[0].currency.as_deref(), Some("USD"));
        if is_notified {
            let news = shop.providers.notifications().remove(0);
            for _ in 0..2 {
                assert_eq!(shop.take(&news).await, Err(Kind::Mismatched), "it comes again");
            }
            assert_eq!(shop.providers.calls("wxpay.query"), 0, "both messages agree");
        } else {
            shop.clock.advance_ms(29 * MINUTE);
            shop.engine.reconcile().await;
        }
        let order = shop.order(NO).await;
        let [payment] = &order.payments[..] else { panic!("{order:?}") };
        assert_eq!(
            (payment.role, payment.total_fee.fen(), status(&shop).await),
            (Mismatch, 100, 0)
        );
        for provider in [Wxpay, Alipay] {
            assert_eq!(kind(shop.create(&qr(provider)).await), Some(Kind::AlreadyPaid));
        }
        assert_eq!(sent_events(&shop, &webhook).await, ["payment.mismatch"], "no goods");
    }
}

#[tokio::test]
async fn a_payment_in_another_currency_of_a_trade_that_was_not_opened_here_is_a_mismatch() {
    let (shop, webhook) = shop_with_webhook().await;
    let (clock, providers) = (shop.clock.clone(), shop.providers.clone());
    let other_program = Shop::at(clock, Memory::new(), providers, |it| it).await;
    other_program.create(&qr(Wxpay)).await.unwrap();
    shop.create(&qr(Alipay)).await.unwrap();
    add_fault(&shop, FaultKind::ForeignCurrency);
    shop.providers.pay(&purchase(Wxpay)).unwrap();
    assert_eq!(shop.notify().await, [Err(Kind::Mismatched)]);
    let order = shop.order(NO).await;
    assert_eq!((order.payments[0].role, order.status.number()), (Mismatch, 0));
    assert_eq!(sent_events(&shop, &webhook).await, ["payment.mismatch"]);
}

#[tokio::test]
async fn a_refund_of_a_payment_in_another_currency_makes_it_known_as_a_mismatch() {
    let (shop, webhook) = shop_with_webhook().await;
    let created = shop.create(&qr(Wxpay)).await.unwrap();
    add_fault(&shop, FaultKind::ForeignCurrency);
    add_fault(&shop, FaultKind::NotifyNever);
    shop.pay(&created).unwrap();
    let refund = ConsoleRefund {
        provider: Wxpay,
        out_trade_no: NO.to_owned(),
        amount: None,
        notification: ConsoleNotification::Regular,
    };
    shop.providers.refund_in_console(&refund).unwrap();
    settle(&shop).await;
    let order = shop.order(NO).await;
    assert_eq!((order.payments[0].role, order.status.number()), (Mismatch, 0));
    assert_eq!(order.payments[0].refunded(), 100);
    let events = sent_events(&shop, &webhook).await;
    assert_eq!(events, ["payment.mismatch", "refund.succeeded"]);
}
