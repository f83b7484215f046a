//! What a newer paygate wrote: a store, or a record in it.

use paygate::domain::{AttemptState, Millis, Pid};
use paygate::store::{Claim, Committed, Store, StoreErrorKind};
use rusqlite::Connection;

use super::contract::{claimed, committed};
use super::orders::{later, live, number, order};
use super::outbox::event;
use super::sqlite::TempStore;

/// As a newer paygate would write the record of `no`.
fn write_newer(file: &TempStore, no: &str) {
    file.tamper(&format!(
        r#"UPDATE orders SET record = replace(record, '{{"v":2,', '{{"v":3,"later":1,')
           WHERE out_trade_no = '{no}'"#
    ));
    assert!(record(file, no).starts_with(r#"{"v":3,"#));
}

fn record(file: &TempStore, no: &str) -> String {
    let select = "SELECT record FROM orders WHERE out_trade_no = ?1";
    Connection::open(&file.path).unwrap().query_row(select, [no], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn an_order_that_a_newer_paygate_wrote_is_refused_and_the_others_are_served() {
    let file = TempStore::new();
    let store = file.open();
    let (newer, other) = (order("newer-order", 1), order("other-order", 2));
    claimed(&store, &newer).await;
    claimed(&store, &other).await;
    write_newer(&file, "newer-order");
    let before = record(&file, "newer-order");
    let due = store.due(Millis(i64::MAX), 1).await.unwrap();
    assert_eq!(due, [number("newer-order")], "nobody has read it yet");
    let error = store.load(newer.out_trade_no()).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Newer);
    assert!(error.message.contains("(record 3, this one knows 2)"), "{error}");
    assert!(!error.message.contains("newer-order"), "{error}");
    assert_eq!(store.claim(&newer).await, Err(error.clone()));
    let other_version = later(&later(&newer, live()), AttemptState::Paid);
    assert_eq!(store.commit(&other_version, &[]).await, Err(error));
    assert_eq!(record(&file, "newer-order"), before);
    // The reconciler passes over it, and finds what is due behind it.
    assert_eq!(store.due(Millis(i64::MAX), 1).await, Ok(vec![number("other-order")]));
    assert_eq!(store.claim(&other).await, Ok(Claim::Existing(Box::new(other.clone()))));
    committed(&store, &later(&other, live())).await;
    // Once the newer paygate gave it back, it is served and due again.
    file.tamper(r#"UPDATE orders SET record = replace(record, '"v":3', '"v":2')"#);
    assert!(store.load(newer.out_trade_no()).await.unwrap().is_some());
    assert_eq!(store.due(Millis(i64::MAX), 1).await, Ok(due));
}

#[tokio::test]
async fn an_event_that_a_newer_paygate_added_does_not_stop_the_outbox() {
    let file = TempStore::new();
    let store = file.open();
    let first = order("with-events", 1);
    claimed(&store, &first).await;
    let events = [event(&first, 1), event(&first, 2)];
    let next = later(&first, live());
    assert_eq!(store.commit(&next, &events).await, Ok(Committed::Done));
    let id = &events[0].id;
    file.tamper(&format!("UPDATE outbox SET event = 'payment.later' WHERE id = '{id}'"));
    for _ in 0..2 {
        let due = store.outbox_due(Millis(i64::MAX), 2).await.unwrap();
        assert_eq!(due, [events[1].clone()]);
        assert_eq!(store.outbox_list(due[0].state, 2).await, Ok(due));
    }
    // As many as were asked for, although one before them is passed over.
    assert_eq!(store.outbox_due(Millis(i64::MAX), 1).await, Ok(vec![events[1].clone()]));
}

/// The mark is for programs of other versions.
#[tokio::test]
async fn a_store_of_this_version_is_served_without_a_mark() {
    let file = TempStore::new();
    let first = order("unmarked", 1);
    claimed(&file.open(), &first).await;
    file.tamper("UPDATE meta SET compatible_from = NULL, marked_version = NULL");
    assert_eq!(file.open().load(first.out_trade_no()).await, Ok(Some(first)));
}

/// A newer paygate added a table and columns, and marked the store as one that this one may open.
#[tokio::test]
async fn a_newer_store_that_is_marked_compatible_is_served_and_stays_newer() {
    let file = TempStore::new();
    let first = order("before-newer", 1);
    claimed(&file.open(), &first).await;
    file.tamper(
        "PRAGMA user_version = 9; CREATE TABLE later (a);
         ALTER TABLE orders ADD COLUMN later TEXT;
         ALTER TABLE attempts ADD COLUMN later INTEGER NOT NULL DEFAULT 7;
         ALTER TABLE channel_numbers ADD COLUMN later TEXT;
         ALTER TABLE meta ADD COLUMN later TEXT; UPDATE meta SET marked_version = 9",
    );
    let store = file.open();
    assert_eq!(store.load(first.out_trade_no()).await, Ok(Some(first.clone())));
    committed(&store, &later(&first, live())).await;
    claimed(&store, &order("after-newer", 2)).await;
    let found = store.find_refund(&Pid::default(), "r-1").await;
    assert_eq!(found, Ok(None));
    drop(store);
    let connection = Connection::open(&file.path).unwrap();
    let version: i64 =
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, 9);
    drop(connection);
    for mark in ["compatible_from = 7", "compatible_from = NULL"] {
        file.tamper(&format!("UPDATE meta SET {mark}"));
        let error = file.refusal();
        assert_eq!(error.kind, StoreErrorKind::Newer, "{mark}: {error}");
    }
    file.tamper("UPDATE meta SET compatible_from = 3, marked_version = 3");
    let error = file.refusal();
    assert_eq!(error.kind, StoreErrorKind::Newer, "a mark of earlier tables: {error}");
}

/// 5001: nothing was sent for the order, and nothing of it was touched.
#[cfg(feature = "mock")]
#[tokio::test]
async fn a_request_for_an_order_that_a_newer_paygate_wrote_is_refused_before_anything_is_sent() {
    use std::sync::Arc;

    use paygate::domain::ProviderId;
    use paygate::engine::{OrderNumber, Query};
    use paygate::error::Kind;
    use paygate::mock::InProcess;

    use crate::support::shop::{ManualClock, Shop, body};

    let file = TempStore::new();
    let store = Arc::new(file.open_simulated());
    let clock = ManualClock::new();
    let providers = InProcess::open(None, Arc::new(clock.clone())).unwrap();
    let shop = Shop::over(clock, store.clone(), providers.clone(), |it| it).await;
    for no in ["newer-order", "other-order"] {
        shop.create(&body(ProviderId::Wxpay, no, 100)).await.unwrap();
    }
    write_newer(&file, "newer-order");
    let before = record(&file, "newer-order");
    // Another process: nothing is remembered of an answer.
    let clock = ManualClock::new();
    clock.advance_ms(3_600_000);
    let shop = Shop::over(clock, store.clone(), providers.clone(), |it| it).await;
    let calls = providers.calls("wxpay.create");
    let refused = shop.create(&body(ProviderId::Wxpay, "newer-order", 100)).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::NotSent);
    let query = |no| Query { number: OrderNumber::OutTradeNo(number(no)), await_accepted: None };
    let refused = shop.engine.query(query("newer-order")).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::NotSent);
    assert_eq!(providers.calls("wxpay.create"), calls, "nothing was sent");
    assert!(shop.engine.query(query("other-order")).await.is_ok());
    shop.engine.reconcile().await;
    assert_eq!(record(&file, "newer-order"), before, "untouched");
}
