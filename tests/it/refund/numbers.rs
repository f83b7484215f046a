//! A refund's number means one refund: of one payment, and of one amount.

use std::sync::Arc;

use paygate::domain::ProviderId::{Alipay, Wxpay};
use paygate::domain::RefundState::{Processing, Success};
use paygate::domain::{Fen, Payment, TransactionId};
use paygate::engine::{AutoRefundPolicy, RefundRequest};
use paygate::error::Kind;
use paygate::mock::{FaultKind, InProcess, ProviderOperation};
use paygate::store::{Memory, Store};
use tokio::task::JoinSet;

use crate::support::crashing_store::{Crashing, Moment, Then};
use crate::support::refunds::{
    check_money, number, paid, partial_refund, refund, refund_all_of, settle, state, status,
};
use crate::support::requests::{NO, qr};
use crate::support::shop::{ManualClock, Shop, body, kind, run_background};
use crate::support::webhook::shop_with_webhook_and;

/// A shop whose duplicates a person refunds, with an order that was paid twice: the payment that
/// made it paid, and the duplicate.
async fn paid_twice() -> (Shop, TransactionId, Payment) {
    let alerts = AutoRefundPolicy { duplicate: false, late: false };
    let (shop, _) = shop_with_webhook_and(|it| it.auto_refund(alerts)).await;
    let code = shop.create(&qr(Alipay)).await.unwrap();
    let winning = paid(&shop, Wxpay).await;
    shop.pay(&code).unwrap();
    assert_eq!(shop.notify().await, [Ok(())]);
    run_background().await;
    let payments = shop.order(NO).await.payments;
    let duplicate = payments.into_iter().find(|it| it.transaction_id != winning).unwrap();
    (shop, winning, duplicate)
}

/// A refund of the whole payment under a number.
fn whole(id: &TransactionId, no: &str) -> RefundRequest {
    RefundRequest {
        out_refund_no: Some(no.to_owned()),
        refund_fee: Fen::new(100),
        ..refund_all_of(id)
    }
}

#[tokio::test]
async fn a_number_of_one_payment_refunds_no_other_payment_of_its_order() {
    let (shop, winning, Payment { transaction_id: duplicate, .. }) = paid_twice().await;
    shop.engine.refund(whole(&winning, "r-1")).await.unwrap();
    shop.engine.refund(whole(&duplicate, "r-2")).await.unwrap();
    for other in [whole(&duplicate, "r-1"), whole(&winning, "r-2"), partial_refund("r-2", 100)] {
        let error = shop.engine.refund(other.clone()).await.unwrap_err();
        let fields = error.violations().iter().map(|it| &*it.path).collect::<Vec<_>>();
        assert_eq!((error.kind(), fields), (Kind::Different, vec!["/transaction_id"]), "{other:?}");
    }
    assert_eq!(kind(shop.engine.refund(partial_refund("r-1", 100)).await), None, "a replay");
    settle(&shop).await;
    check_money(&shop, 200, 200);
}

#[tokio::test]
async fn the_number_that_paygate_derives_for_a_duplicate_is_kept_for_it() {
    let (shop, winning, duplicate) = paid_twice().await;
    let number = duplicate.derived_refund_no(shop.order(NO).await.out_trade_no());
    let of_winning = shop.engine.refund(whole(&winning, &number)).await;
    assert_eq!(kind(of_winning), Some(Kind::Different));
    let refunded = shop.engine.refund(refund_all_of(&duplicate.transaction_id)).await.unwrap();
    assert_eq!(refunded.refund.out_refund_no, number);
    settle(&shop).await;
    check_money(&shop, 200, 100);
}

#[tokio::test]
async fn a_refund_of_another_amount_under_the_number_is_not_the_requested_one() {
    // What the second request meets: the provider answers it, or only the query after it.
    for (provider, fault) in [
        (Wxpay, None),
        (Wxpay, Some(FaultKind::LoseRequest)),
        (Alipay, Some(FaultKind::LoseRequest)),
    ] {
        let before = Shop::open().await;
        paid(&before, provider).await;
        // The store is a copy that is older than the refund of 30 fen.
        let copy = Memory::new();
        copy.claim(&before.order(NO).await).await.unwrap();
        refund(&before, "r-1", 30).await.unwrap();
        before.clock.advance_ms(4_000);
        let (clock, providers) = (before.clock.clone(), before.providers.clone());
        let shop = Shop::at(clock, copy, providers, |it| it).await;
        if let Some(fault) = fault.clone() {
            shop.fault_of(ProviderOperation::Refund, fault);
        }
        refund(&shop, "r-1", 25).await.unwrap();
        shop.clock.advance_ms(60_000);
        shop.engine.reconcile().await;
        assert_eq!(state(&shop, "r-1").await, Processing, "{provider} {fault:?}");
        assert_eq!(status(&shop).await, 1, "{provider}: nothing of it counts");
        let refund = shop.engine.query_refund("r-1").await.unwrap().refund;
        assert_eq!((refund.state, refund.refund_fee.fen()), (Processing, 25), "{provider}");
        assert_eq!(shop.providers.money().refunded, 30);
    }
}

/// Two paid orders of a shop to whose store something happens at the write after `writes`, if that
/// is given; returns the store too.
async fn two_paid_orders(plan: Option<(u64, Moment, Then)>) -> (Shop, Crashing<Memory>) {
    let store = match plan {
        None => Crashing::counting(Memory::new()),
        Some((writes, moment, then)) => Crashing::at(Memory::new(), writes + 1, moment, then),
    };
    let clock = ManualClock::new();
    let providers = InProcess::open(None, Arc::new(clock.clone())).unwrap();
    let shop = Shop::at(clock, store.clone(), providers, |it| it).await;
    for no in [NO, "order-0002"] {
        let created = shop.create(&body(Wxpay, no, 100)).await.unwrap();
        shop.pay(&created).unwrap();
        assert_eq!(shop.notify().await, [Ok(())]);
    }
    (shop, store)
}

/// A refund of 30 fen under a number that both orders want.
fn wanted_by(no: &str) -> RefundRequest {
    RefundRequest { out_trade_no: number(no), ..partial_refund("r-1", 30) }
}

#[tokio::test]
async fn of_two_orders_that_ask_for_one_number_at_once_one_gets_it() {
    let writes = two_paid_orders(None).await.1.writes();
    let (shop, store) = two_paid_orders(Some((writes, Moment::Before, Then::Delays))).await;
    let engine = shop.engine.clone();
    let mut late = JoinSet::new();
    late.spawn(async move { engine.refund(wanted_by(NO)).await });
    store.struck().await;
    // The number is free when the first request looks, and taken when it records its refund.
    assert_eq!(kind(shop.engine.refund(wanted_by("order-0002")).await), None);
    store.wake();
    let error = late.join_next().await.unwrap().unwrap().unwrap_err();
    let fields = error.violations().iter().map(|it| &*it.path).collect::<Vec<_>>();
    assert_eq!((error.kind(), fields), (Kind::Different, vec!["/out_trade_no"]));
    assert_eq!(shop.order(NO).await.refund("r-1"), None);
    run_background().await;
    assert_eq!(shop.providers.money().refunded + shop.providers.money().refunding, 30);
}

#[tokio::test]
async fn a_refund_whose_record_was_not_confirmed_has_its_number_and_is_not_anothers() {
    let writes = two_paid_orders(None).await.1.writes();
    let (shop, _) = two_paid_orders(Some((writes, Moment::After, Then::FailsOnce))).await;
    assert_eq!(kind(shop.engine.refund(wanted_by(NO)).await), Some(Kind::NotSent));
    assert_eq!(shop.providers.calls("wxpay.refund"), 0);
    let again = shop.engine.refund(wanted_by(NO)).await.unwrap();
    assert_eq!(again.refund.state, Processing, "it was recorded");
    settle(&shop).await;
    assert_eq!(state(&shop, "r-1").await, Success);
    check_money(&shop, 200, 30);
}
