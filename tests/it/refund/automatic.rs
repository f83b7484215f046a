//! What goes back without anybody asking for it, and what waits for a person.

use paygate::domain::ProviderId::{Alipay, Wxpay};
use paygate::domain::RefundState::Closed;
use paygate::domain::{ProviderId, TransactionId};
use paygate::engine::AutoRefundPolicy;
use paygate::error::Kind;
use paygate::mock::{FaultKind, ProviderOperation};

use crate::support::refunds::{
    check_money, number, paid, purchase, refund_all, refund_all_of, sent_events, settle, state,
    status,
};
use crate::support::requests::{MINUTE, NO, qr};
use crate::support::shop::{Shop, kind, run_background};
use crate::support::webhook::{shop_with_webhook, shop_with_webhook_and};

/// The order is paid by both providers before anybody hears of either, and then it is told of
/// `first` and of the other one. The transactions, in this order.
async fn paid_twice(shop: &Shop, paying: [ProviderId; 2], first: ProviderId) -> [TransactionId; 2] {
    let code = shop.create(&qr(Alipay)).await.unwrap();
    let native = shop.create(&qr(Wxpay)).await.unwrap();
    for provider in paying {
        let material = if provider == Alipay { &code } else { &native };
        shop.pay(material).unwrap();
    }
    let mut news = shop.providers.notifications();
    news.sort_by_key(|it| it.provider != first);
    for it in &news {
        assert_eq!(shop.take(it).await, Ok(()));
        shop.providers.record_answer(it, 200, b"success");
    }
    let ids = news.iter().map(|news| {
        let ledger = shop.ledger(NO);
        let order = ledger.iter().find(|it| it.provider == news.provider).unwrap();
        TransactionId(order.transaction_id.clone().unwrap().into())
    });
    ids.collect::<Vec<_>>().try_into().unwrap()
}

/// What went back of one payment, in fen, as its provider knows it.
fn returned(shop: &Shop, id: &TransactionId) -> u64 {
    let balances = shop.providers.balances();
    balances.iter().find(|it| it.transaction_id == *id.0).unwrap().money.refunded
}

#[tokio::test]
async fn the_second_payment_of_an_order_goes_back_whichever_it_is() {
    for paying in [[Wxpay, Alipay], [Alipay, Wxpay]] {
        for first in paying {
            let (shop, webhook) = shop_with_webhook().await;
            let [winning, duplicate] = paid_twice(&shop, paying, first).await;
            settle(&shop).await;
            let order = shop.order(NO).await;
            assert_eq!(order.winning_payment().unwrap().transaction_id, winning);
            assert_eq!((order.status.number(), order.flags.duplicate_paid), (1, true));
            assert_eq!((returned(&shop, &winning), returned(&shop, &duplicate)), (0, 100));
            check_money(&shop, 200, 100);
            let events = sent_events(&shop, &webhook).await;
            let expected = ["duplicate.refunded", "payment.duplicate", "payment.succeeded"];
            assert_eq!(events, expected, "{paying:?}, told of {first} first");
            settle(&shop).await;
            assert_eq!(sent_events(&shop, &webhook).await, expected, "and once");
            check_money(&shop, 200, 100);
        }
    }
}

#[tokio::test]
async fn the_duplicate_and_the_order_are_returned_apart() {
    let (shop, webhook) = shop_with_webhook().await;
    let [_, duplicate] = paid_twice(&shop, [Wxpay, Alipay], Wxpay).await;
    let (asked, _) =
        tokio::join!(shop.engine.refund(refund_all_of(&duplicate)), shop.engine.reconcile());
    assert_eq!(kind(asked), None, "asking for what goes back anyway is a replay");
    settle(&shop).await;
    check_money(&shop, 200, 100);
    assert_eq!(status(&shop).await, 1);
    shop.engine.refund(refund_all()).await.unwrap();
    settle(&shop).await;
    check_money(&shop, 200, 200);
    assert_eq!(status(&shop).await, 3);
    let all = shop.engine.query_refunds(&number(NO)).await.unwrap();
    assert_eq!((all.refunds.len(), all.refund_fee), (2, 200));
    let events = sent_events(&shop, &webhook).await;
    let expected =
        ["duplicate.refunded", "payment.duplicate", "payment.succeeded", "refund.succeeded"];
    assert_eq!(events, expected);
}

#[tokio::test]
async fn a_duplicate_is_only_told_where_the_shop_wants_that() {
    let returns = AutoRefundPolicy { duplicate: false, late: true };
    let (shop, webhook) = shop_with_webhook_and(|it| it.auto_refund(returns)).await;
    let [_, duplicate] = paid_twice(&shop, [Wxpay, Alipay], Wxpay).await;
    settle(&shop).await;
    check_money(&shop, 200, 0);
    assert_eq!(sent_events(&shop, &webhook).await, ["payment.duplicate", "payment.succeeded"]);
    shop.engine.refund(refund_all_of(&duplicate)).await.unwrap();
    settle(&shop).await;
    check_money(&shop, 200, 100);
    assert_eq!((returned(&shop, &duplicate), status(&shop).await), (100, 1));
    let expected = ["duplicate.refunded", "payment.duplicate", "payment.succeeded"];
    assert_eq!(sent_events(&shop, &webhook).await, expected);
}

#[tokio::test]
async fn a_duplicate_goes_back_whatever_goes_wrong() {
    let faults = [
        FaultKind::LoseReply,
        FaultKind::LoseRequest,
        FaultKind::TooSoon,
        FaultKind::Status500,
        FaultKind::NotEnough,
        FaultKind::RefundEnds { state: Closed },
    ];
    for duplicate in [Wxpay, Alipay] {
        for fault in &faults {
            let (shop, webhook) = shop_with_webhook().await;
            let first = if duplicate == Wxpay { Alipay } else { Wxpay };
            shop.fault_of(ProviderOperation::Refund, fault.clone());
            paid_twice(&shop, [Wxpay, Alipay], first).await;
            for _ in 0..4 {
                shop.clock.advance_ms(60 * MINUTE);
                settle(&shop).await;
            }
            check_money(&shop, 200, 100);
            let events = sent_events(&shop, &webhook).await;
            let done = events.iter().filter(|it| **it == "duplicate.refunded").count();
            assert_eq!((done, status(&shop).await), (1, 1), "{duplicate} {fault:?}: {events:?}");
        }
    }
}

/// The shop closed an order whose Alipay code nobody had scanned; then the buyer pays.
async fn paid_late(shop: &Shop) -> TransactionId {
    let code = shop.create(&qr(Alipay)).await.unwrap();
    shop.engine.close(&number(NO)).await.unwrap();
    assert_eq!(status(shop).await, -1);
    let paid = shop.pay(&code).unwrap();
    assert_eq!(shop.notify().await, [Ok(())]);
    TransactionId(paid.transaction_id.unwrap().into())
}

#[tokio::test]
async fn a_payment_after_the_order_was_closed_is_told_and_goes_back() {
    let (shop, webhook) = shop_with_webhook().await;
    let late = paid_late(&shop).await;
    settle(&shop).await;
    let order = shop.order(NO).await;
    assert_eq!((order.status.number(), order.flags.late_paid), (-1, true));
    assert_eq!((returned(&shop, &late), sent_events(&shop, &webhook).await.len()), (100, 2));
    assert_eq!(sent_events(&shop, &webhook).await, ["late.refunded", "payment.late"]);
    assert_eq!(kind(shop.create(&qr(Alipay)).await), Some(Kind::Closed));
    check_money(&shop, 100, 100);
}

#[tokio::test]
async fn a_late_payment_is_only_told_where_the_shop_wants_that() {
    let returns = AutoRefundPolicy { duplicate: true, late: false };
    let (shop, webhook) = shop_with_webhook_and(|it| it.auto_refund(returns)).await;
    let late = paid_late(&shop).await;
    settle(&shop).await;
    assert_eq!(sent_events(&shop, &webhook).await, ["payment.late"]);
    check_money(&shop, 100, 0);
    assert_eq!(kind(shop.engine.refund(refund_all()).await), Some(Kind::NotPaid));
    shop.engine.refund(refund_all_of(&late)).await.unwrap();
    settle(&shop).await;
    assert_eq!(sent_events(&shop, &webhook).await, ["late.refunded", "payment.late"]);
    assert_eq!(status(&shop).await, -1, "the order stays closed");
    check_money(&shop, 100, 100);
}

#[tokio::test]
async fn a_late_payment_that_nobody_tells_of_is_found_and_goes_back() {
    let (shop, webhook) = shop_with_webhook().await;
    let code = shop.create(&qr(Alipay)).await.unwrap();
    shop.engine.close(&number(NO)).await.unwrap();
    shop.providers.add_fault(paygate::mock::SimulatedFault {
        provider: None,
        operation: None,
        kind: FaultKind::NotifyNever,
        times: 9,
    });
    shop.pay(&code).unwrap();
    for _ in 0..9 {
        settle(&shop).await;
    }
    assert_eq!(sent_events(&shop, &webhook).await, ["late.refunded", "payment.late"]);
    check_money(&shop, 100, 100);
}

/// A payment of one fen more than was ordered.
async fn mismatched(shop: &Shop, provider: ProviderId) -> TransactionId {
    let created = shop.create(&qr(provider)).await.unwrap();
    shop.providers.add_fault(paygate::mock::SimulatedFault {
        provider: None,
        operation: None,
        kind: FaultKind::WrongAmount,
        times: 1,
    });
    shop.pay(&created).unwrap();
    assert_eq!(shop.notify().await, [Err(Kind::Mismatched)], "{provider}");
    shop.order(NO).await.payments[0].transaction_id.clone()
}

#[tokio::test]
async fn a_mismatched_payment_that_went_back_clears_the_way_for_the_order() {
    for provider in [Wxpay, Alipay] {
        let (shop, webhook) = shop_with_webhook().await;
        let id = mismatched(&shop, provider).await;
        settle(&shop).await;
        check_money(&shop, 101, 0);
        assert_eq!(kind(shop.create(&qr(provider)).await), Some(Kind::AlreadyPaid));
        assert_eq!(kind(shop.engine.refund(refund_all()).await), Some(Kind::NotPaid));
        assert_eq!(kind(shop.engine.close(&number(NO)).await), Some(Kind::AlreadyPaid));
        let refunded = shop.engine.refund(refund_all_of(&id)).await.unwrap();
        assert_eq!(refunded.refund.refund_fee.fen(), 101, "all of what was paid");
        settle(&shop).await;
        check_money(&shop, 101, 101);
        let order = shop.order(NO).await;
        assert_eq!((order.status.number(), order.flags.mismatch), (0, false), "{provider}");
        let again = shop.create(&qr(provider)).await.unwrap();
        shop.pay(&again).unwrap();
        settle(&shop).await;
        assert_eq!(status(&shop).await, 1, "{provider}");
        let events = sent_events(&shop, &webhook).await;
        assert_eq!(events, ["payment.mismatch", "payment.succeeded", "refund.succeeded"]);
        check_money(&shop, 201, 101);
    }
}

#[tokio::test]
async fn what_was_paid_once_stays_where_it_is() {
    for provider in [Wxpay, Alipay] {
        let (shop, webhook) = shop_with_webhook().await;
        paid(&shop, provider).await;
        settle(&shop).await;
        assert_eq!(sent_events(&shop, &webhook).await, ["payment.succeeded"]);
        check_money(&shop, 100, 0);
        assert_eq!(shop.providers.calls(&format!("{provider}.refund")), 0);
    }
}

#[tokio::test]
async fn a_duplicate_that_is_found_by_asking_is_as_good_as_told() {
    let (shop, _) = shop_with_webhook().await;
    let code = shop.create(&qr(Alipay)).await.unwrap();
    shop.create(&qr(Wxpay)).await.unwrap();
    shop.pay(&code).unwrap();
    shop.providers.pay(&purchase(Wxpay)).unwrap();
    let news = shop.providers.notifications();
    let of_wxpay = news.iter().find(|it| it.provider == Wxpay).unwrap();
    assert_eq!(shop.take(of_wxpay).await, Ok(()));
    for _ in 0..9 {
        run_background().await;
        shop.clock.advance_ms(MINUTE);
        shop.engine.reconcile().await;
    }
    assert_eq!(state(&shop, &refund_no(&shop).await).await.name(), "SUCCESS");
    check_money(&shop, 200, 100);
}

async fn refund_no(shop: &Shop) -> String {
    shop.order(NO).await.payments[1].refunds[0].out_refund_no.clone()
}
