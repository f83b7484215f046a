//! A store that lacks transactions is not opened as if they had never been.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;

use paygate::domain::Order;
use paygate::store::{Claim, Sqlite, Store, StoreErrorKind};
use rusqlite::Connection;

use super::copies::{back_up, restore};
use super::orders::order;
use super::sqlite::TempStore;

async fn claim(store: &Sqlite, name: &str) -> Order {
    let order = order(name, 1);
    assert_eq!(store.claim(&order).await, Ok(Claim::Fresh));
    order
}

/// The files of a crash: three orders are in the database, three in the log alone.
async fn crashed() -> (TempStore, Vec<Order>) {
    let (file, left) = (TempStore::new(), TempStore::new());
    let store = file.open();
    let mut orders = Vec::new();
    for n in 0..6 {
        orders.push(claim(&store, &format!("order-{n}")).await);
        if n == 2 {
            file.tamper("PRAGMA wal_checkpoint(TRUNCATE)");
        }
    }
    for suffix in ["", "-wal", "-lock"] {
        fs::copy(file.beside(suffix), left.beside(suffix)).unwrap();
    }
    (left, orders)
}

fn length(file: &TempStore) -> u64 {
    fs::metadata(file.beside("-wal")).unwrap().len()
}

fn cut(file: &TempStore, length: u64) {
    OpenOptions::new().write(true).open(file.beside("-wal")).unwrap().set_len(length).unwrap();
}

fn flip(file: &TempStore, at: u64) {
    let log = OpenOptions::new().read(true).write(true).open(file.beside("-wal")).unwrap();
    let mut byte = [0];
    log.read_exact_at(&mut byte, at).unwrap();
    log.write_all_at(&[!byte[0]], at).unwrap();
}

fn remove(file: &TempStore, suffix: &str) {
    fs::remove_file(file.beside(suffix)).unwrap();
}

type Loss = fn(&TempStore);

const LOSSES: [(&str, Loss); 7] = [
    ("removed", |it| remove(it, "-wal")),
    ("emptied", |it| cut(it, 0)),
    ("cut behind its header", |it| cut(it, 32)),
    ("cut by a byte", |it| cut(it, length(it) - 1)),
    ("damaged in its header", |it| flip(it, 17)),
    ("damaged in its first page", |it| flip(it, 100)),
    ("damaged in its last page", |it| flip(it, length(it) - 100)),
];

fn contents(file: &TempStore) -> [Option<Vec<u8>>; 2] {
    ["", "-wal"].map(|suffix| fs::read(file.beside(suffix)).ok())
}

fn check_refused(file: &TempStore, name: &str) {
    let before = contents(file);
    for time in ["at first", "again"] {
        let Err(error) = Sqlite::open(&file.path) else { panic!("{name}: opened {time}") };
        assert_eq!(error.kind, StoreErrorKind::Corrupt, "{name}: {error}");
        assert!(error.message.contains("lacks orders that paygate wrote"), "{name}: {error}");
        assert!(error.message.contains("paygate restore"), "{name}: {error}");
        assert!(contents(file)[0] == before[0], "{name}: changed {time}");
    }
}

#[tokio::test]
async fn a_store_whose_log_was_lost_or_damaged_while_it_was_closed_is_refused() {
    for (name, happens) in LOSSES {
        let (file, orders) = crashed().await;
        happens(&file);
        check_refused(&file, name);

        // As the message says: what is left is a copy.
        let kept = file.beside("-kept");
        fs::rename(&file.path, &kept).unwrap();
        if let Err(error) = restore(&file.path, &kept) {
            panic!("{name}: {error}");
        }
        let store = file.open();
        for order in &orders[..3] {
            let found = store.load(order.out_trade_no()).await.unwrap().unwrap();
            assert!(found.attempts[0].is_handed_out(), "{name}");
        }
        claim(&store, "after-it").await;
        drop(store);
        drop(file.open());
    }
}

/// The last transaction of a log is found missing as well, and a crash loses none.
#[tokio::test]
async fn what_was_answered_last_is_missed() {
    let file = TempStore::new();
    let store = file.open();
    for n in 0..4 {
        claim(&store, &format!("order-{n}")).await;
        let before = length(&file);
        let last = claim(&store, &format!("last-{n}")).await;
        let left = TempStore::new();
        for suffix in ["", "-wal", "-lock"] {
            fs::copy(file.beside(suffix), left.beside(suffix)).unwrap();
        }
        let whole = TempStore::new();
        for suffix in ["", "-wal", "-lock"] {
            fs::copy(left.beside(suffix), whole.beside(suffix)).unwrap();
        }
        assert_eq!(whole.open().load(last.out_trade_no()).await, Ok(Some(last)));
        cut(&left, before);
        check_refused(&left, &format!("order {n}"));
    }
}

#[tokio::test]
async fn an_older_database_in_the_place_of_a_store_is_refused_and_restored_when_asked_for() {
    let (file, old, copy) = (TempStore::new(), TempStore::new(), TempStore::new());
    let store = file.open();
    claim(&store, "first-order").await;
    drop(store);
    fs::copy(&file.path, &old.path).unwrap();
    let store = file.open();
    claim(&store, "second-order").await;
    back_up(&file.path, &copy.path);
    claim(&store, "third-order").await;
    drop(store);

    fs::copy(&old.path, &file.path).unwrap();
    check_refused(&file, "cp");
    // A backup says itself that it is one.
    fs::copy(&copy.path, &file.path).unwrap();
    drop(file.open());
    claim(&file.open(), "fourth-order").await;
    restore(&file.path, &old.path).unwrap();
    claim(&file.open(), "fifth-order").await;
    drop(file.open());
}

#[tokio::test]
async fn a_removed_database_is_not_replaced_by_an_empty_one() {
    let file = TempStore::new();
    drop(file.open());
    remove(&file, "");
    drop(file.open());
    claim(&file.open(), "first-order").await;
    remove(&file, "");
    let error = file.refusal();
    assert_eq!(error.kind, StoreErrorKind::Corrupt);
    assert!(error.message.contains("paygate.db-lock knows that"), "{error}");
    assert!(!file.path.exists());
    remove(&file, "-lock");
    claim(&file.open(), "first-order").await;
}

/// SQLite's own program puts the log into the database and removes it.
#[tokio::test]
async fn a_crashed_store_that_another_program_opened_and_closed_is_whole() {
    let (file, orders) = crashed().await;
    let program = Connection::open(&file.path).unwrap();
    program.query_row("SELECT count(*) FROM orders", [], |row| row.get::<_, i64>(0)).unwrap();
    program.close().unwrap();
    assert!(!file.beside("-wal").exists());
    let store = file.open();
    for order in orders {
        assert_eq!(store.load(order.out_trade_no()).await, Ok(Some(order)));
    }
}

/// An earlier paygate wrote its process there, and no count; other bytes are no count either.
#[tokio::test]
async fn a_lock_file_without_a_count_refuses_nothing() {
    for content in ["", "4711\n", "4711\nmany\n", "\0\0\0\0\0\0", "999999999999999999999999\n"] {
        let (file, _) = crashed().await;
        remove(&file, "-wal");
        fs::write(file.beside("-lock"), content).unwrap();
        let store = file.open();
        let last = claim(&store, "after-it").await;
        drop(store);
        assert_eq!(file.open().load(last.out_trade_no()).await, Ok(Some(last)), "{content:?}");
    }
}
