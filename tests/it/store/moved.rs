//! While a store is open, somebody removes or replaces its files: no order is taken any more.

use std::fs;

use paygate::domain::AttemptState;
use paygate::store::{Claim, Store, StoreErrorKind};

use super::orders::{later, order};
use super::sqlite::TempStore;

/// What happens to the files, and which of them the message names.
#[tokio::test]
async fn a_store_whose_files_were_removed_or_replaced_accepts_nothing_more() {
    type Move = fn(&TempStore);
    let cases: [(&str, Move, &str); 6] = [
        ("the database is emptied", |it| fs::write(it.beside(""), "").unwrap(), "paygate.db was"),
        ("the database is removed", |it| remove(it, ""), "paygate.db was"),
        ("everything is removed", everything, "paygate.db was"),
        ("a copy is put in its place", |it| replace(it, ""), "paygate.db was"),
        ("the write-ahead log is removed", |it| remove(it, "-wal"), "paygate.db-wal was"),
        ("another log is put in its place", |it| replace(it, "-wal"), "paygate.db-wal was"),
    ];
    for (name, happens, told) in cases {
        for is_asked_first in [false, true] {
            let file = TempStore::new();
            let store = file.open();
            let (before, after) = (order("before-it", 1), order("after-it", 2));
            assert_eq!(store.claim(&before).await, Ok(Claim::Fresh), "{name}");
            assert_eq!(store.ready().await, Ok(()), "{name}");
            happens(&file);
            let error = if is_asked_first {
                store.ready().await.unwrap_err()
            } else {
                store.claim(&after).await.unwrap_err()
            };
            assert_eq!(error.kind, StoreErrorKind::Io, "{name}: {error}");
            assert!(error.message.contains(told), "{name}: {error}");
            assert!(error.message.contains("stop paygate"), "{name}: {error}");
            let paid = later(&before, AttemptState::Paid);
            assert_eq!(store.commit(&paid, &[]).await, Err(error.clone()), "{name}");
            assert_eq!(store.ready().await, Err(error.clone()), "{name}");
            assert_eq!(store.load(before.out_trade_no()).await, Err(error), "{name}");
        }
    }
}

fn remove(file: &TempStore, suffix: &str) {
    fs::remove_file(file.beside(suffix)).unwrap();
}

fn everything(file: &TempStore) {
    ["", "-wal", "-shm", "-lock"].iter().for_each(|it| remove(file, it));
}

fn replace(file: &TempStore, suffix: &str) {
    fs::copy(file.beside(suffix), file.beside("-copy")).unwrap();
    fs::rename(file.beside("-copy"), file.beside(suffix)).unwrap();
}

/// What SQLite itself does with its files is no removal.
#[tokio::test]
async fn a_store_whose_log_was_emptied_goes_on() {
    let file = TempStore::new();
    let store = file.open();
    for n in 0..3 {
        assert_eq!(store.claim(&order(&format!("checked-{n}"), n)).await, Ok(Claim::Fresh));
        file.tamper("PRAGMA wal_checkpoint(TRUNCATE)");
        assert_eq!(store.ready().await, Ok(()));
    }
    let last = order("checked-2", 2);
    assert_eq!(store.load(last.out_trade_no()).await, Ok(Some(last)));
}
