//! A store that is damaged serves nothing more once a look-up finds the damage: an order that
//! cannot be read is never taken for one that does not exist.

use std::fs::{self, File};

use paygate::domain::{AttemptState, Order};
use paygate::store::{Claim, Store, StoreError, StoreErrorKind};

use super::copies::zero_page;
use super::orders::{later, order};
use super::sqlite::TempStore;

async fn filled(file: &TempStore, count: i64) -> Vec<Order> {
    let store = file.open();
    let orders: Vec<Order> = (0..count).map(|n| order(&format!("damaged-{n}"), n)).collect();
    for order in &orders {
        assert_eq!(store.claim(order).await, Ok(Claim::Fresh));
    }
    orders
}

/// The first error of a look-up; every order before it is as it was.
async fn first_error(store: &dyn Store, orders: &[Order]) -> Option<StoreError> {
    for order in orders {
        match store.load(order.out_trade_no()).await {
            Ok(found) => assert_eq!(found.as_ref(), Some(order), "a stored order looks new"),
            Err(error) => return Some(error),
        }
    }
    None
}

async fn check_accepts_nothing(store: &dyn Store, error: &StoreError, known: &Order) {
    assert!(error.message.contains("nothing more is accepted"), "{error}");
    assert_eq!(store.ready().await.as_ref(), Err(error));
    assert_eq!(store.claim(&order("a-new-one", 1)).await.as_ref(), Err(error));
    let paid = later(known, AttemptState::Paid);
    assert_eq!(store.commit(&paid, &[]).await.as_ref(), Err(error));
    assert_eq!(store.load(known.out_trade_no()).await.as_ref(), Err(error));
}

#[tokio::test]
async fn after_a_look_up_found_a_damaged_page_nothing_more_is_accepted() {
    let file = TempStore::new();
    let orders = filled(&file, 40).await;
    let pages = fs::metadata(&file.path).unwrap().len() / 4096;
    let mut found = 0;
    for page in 2..=pages {
        let damaged = TempStore::new();
        fs::copy(&file.path, &damaged.path).unwrap();
        zero_page(&damaged.path, page);
        let Ok(store) = paygate::Sqlite::open(&damaged.path) else { continue };
        if let Some(error) = first_error(&store, &orders).await {
            assert_eq!(error.kind, StoreErrorKind::Corrupt, "page {page}: {error}");
            check_accepts_nothing(&store, &error, &orders[0]).await;
            found += 1;
        }
    }
    assert!(found > 5, "{found} of {pages} pages hold orders");
}

#[tokio::test]
async fn after_the_log_was_cut_off_nothing_more_is_accepted() {
    for left in [0, 32, 5_000] {
        let file = TempStore::new();
        let store = file.open();
        let mut orders = Vec::new();
        for n in 0..60 {
            let order = order(&format!("cut-off-{n}"), n);
            assert_eq!(store.claim(&order).await, Ok(Claim::Fresh));
            orders.push(order);
        }
        let log = File::options().write(true).open(file.beside("-wal")).unwrap();
        log.set_len(left).unwrap();
        let error = first_error(&store, &orders).await.expect("the orders are lost");
        check_accepts_nothing(&store, &error, &orders[0]).await;
    }
}

/// The record of an order that is longer than a page goes on in other pages.
#[tokio::test]
async fn a_record_that_lost_a_part_is_damage() {
    let file = TempStore::new();
    let store = file.open();
    let known = order("half-lost", 1);
    assert_eq!(store.claim(&known).await, Ok(Claim::Fresh));
    file.tamper("UPDATE orders SET record = substr(record, 1, 40) || char(0, 0, 0)");
    let error = first_error(&store, std::slice::from_ref(&known)).await.unwrap();
    assert_eq!(error.kind, StoreErrorKind::Corrupt);
    assert_eq!(store.ready().await, Err(error.clone()));
    assert_eq!(store.claim(&order("a-new-one", 1)).await, Err(error));
}

#[tokio::test]
async fn a_text_that_is_no_utf8_is_damage() {
    let file = TempStore::new();
    let store = file.open();
    let known = order("no-utf-8", 1);
    assert_eq!(store.claim(&known).await, Ok(Claim::Fresh));
    file.tamper("UPDATE orders SET record = CAST(x'7bff7d' AS TEXT)");
    let error = first_error(&store, std::slice::from_ref(&known)).await.unwrap();
    check_accepts_nothing(&store, &error, &known).await;
}
