//! A database and the write-ahead log beside it belong together, or the store is refused.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use futures_util::future::join_all;
use paygate::domain::Order;
use paygate::store::{Claim, Sqlite, Store, StoreError, StoreErrorKind};
use rusqlite::Connection;

use super::copies::{back_up, restore, try_back_up};
use super::orders::order;
use super::sqlite::TempStore;

async fn claim(store: &Sqlite, names: &str, count: i64) -> Vec<Order> {
    let orders: Vec<Order> = (0..count).map(|n| order(&format!("{names}-{n}"), n)).collect();
    for order in &orders {
        assert_eq!(store.claim(order).await, Ok(Claim::Fresh), "{}", order.out_trade_no());
    }
    orders
}

/// The files as a crash at this moment leaves them.
fn crashed(file: &TempStore) -> TempStore {
    let left = TempStore::new();
    for suffix in ["", "-wal", "-lock"].into_iter().filter(|it| file.beside(it).exists()) {
        fs::copy(file.beside(suffix), left.beside(suffix)).unwrap();
    }
    left
}

async fn check_whole(file: &TempStore, orders: &[Order]) {
    let store = file.open();
    for order in orders {
        assert_eq!(store.load(order.out_trade_no()).await, Ok(Some(order.clone())));
    }
}

/// What `sqlite3 paygate.db ".backup copy.db"` makes: the same pages with the schema cookie of a
/// new file. Without that program its copy has the same content in other pages.
fn sqlite_backup(from: &Path, to: &Path) {
    let made = Command::new("sqlite3").arg(from).arg(format!(".backup {}", to.display())).status();
    if !made.is_ok_and(|status| status.success()) {
        vacuum_into(from, to);
        let copy = Connection::open(to).unwrap();
        copy.execute_batch("PRAGMA schema_version = 1").unwrap();
    }
}

fn vacuum_into(from: &Path, to: &Path) {
    let to = to.to_str().unwrap();
    Connection::open(from).unwrap().execute("VACUUM INTO ?1", [to]).unwrap();
}

fn copy_the_file(from: &Path, to: &Path) {
    fs::copy(from, to).unwrap();
}

type Copy = fn(&Path, &Path);

/// The backup was made by so many orders, and so many log files, before the crash.
#[tokio::test]
async fn a_copy_that_is_put_beside_the_log_of_a_crash_is_refused_and_nothing_is_changed() {
    let copies: [(&str, Copy); 3] =
        [(".backup", sqlite_backup), ("VACUUM INTO", vacuum_into), ("paygate backup", back_up)];
    for (name, make) in copies {
        for logs in [0, 1, 2, 5] {
            let (file, copy) = (TempStore::new(), TempStore::new());
            let store = file.open();
            claim(&store, "before-copy", 30).await;
            make(&file.path, &copy.path);
            for log in 0..logs {
                claim(&store, &format!("after-{log}"), 5).await;
                file.tamper("PRAGMA wal_checkpoint(TRUNCATE)");
            }
            claim(&store, "last-ones", 5).await;
            let left = crashed(&file);
            fs::copy(&copy.path, &left.path).unwrap();
            check_refused(&left, &format!("{name}, {logs} logs later"));
        }
    }
}

/// The copy is of what the crash left, and the log is still there. A log of few orders has none of
/// the pages in which a copy differs from its source, but its first.
#[tokio::test]
async fn a_copy_of_a_crashed_store_beside_the_log_of_that_crash_is_refused() {
    for (name, make) in [(".backup", sqlite_backup as Copy), ("VACUUM INTO", vacuum_into)] {
        for last in 1..5 {
            let file = TempStore::new();
            let store = file.open();
            claim(&store, "before-log", 30).await;
            file.tamper("PRAGMA wal_checkpoint(TRUNCATE)");
            claim(&store, "last-ones", last).await;
            let (left, copied, copy) = (crashed(&file), crashed(&file), TempStore::new());
            make(&copied.path, &copy.path);
            fs::copy(&copy.path, &left.path).unwrap();
            check_refused(&left, &format!("{name}, {last} orders in the log"));
        }
    }
}

#[tokio::test]
async fn a_log_that_another_program_began_gets_a_number_of_its_own() {
    let file = TempStore::new();
    let store = file.open();
    let number = || {
        let connection = Connection::open(&file.path).unwrap();
        connection.query_row("SELECT log_id FROM meta", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    claim(&store, "own-log", 1).await;
    let before = number();
    file.tamper("PRAGMA wal_checkpoint(TRUNCATE); UPDATE meta SET probes = probes + 1");
    assert_eq!(number(), before, "the other program knows of no numbers");
    claim(&store, "others-log", 1).await;
    assert_ne!(number(), before);
}

/// While a process owns the store, the log is that process's own.
#[tokio::test]
async fn a_database_beside_a_foreign_log_is_copied_by_nobody_unless_its_owner_runs() {
    let (file, copy) = (TempStore::new(), TempStore::new());
    let store = file.open();
    claim(&store, "before-copy", 30).await;
    back_up(&file.path, &copy.path);
    claim(&store, "last-ones", 5).await;
    let left = crashed(&file);
    fs::copy(&copy.path, &left.path).unwrap();
    let target = left.beside("-copy");
    let is_foreign = |error: &StoreError| error.message.contains("do not belong together");
    for error in [
        try_back_up(&left.path, &target).unwrap_err(),
        restore(&TempStore::new().path, &left.path).unwrap_err(),
    ] {
        assert!(is_foreign(&error), "{error}");
        assert!(!target.exists());
    }
    let owner = File::open(left.beside("-lock")).unwrap();
    owner.try_lock().unwrap();
    let copied = try_back_up(&left.path, &target);
    assert!(!copied.as_ref().is_err_and(is_foreign), "{copied:?}");
}

fn check_refused(file: &TempStore, name: &str) {
    let content = |suffix| fs::read(file.beside(suffix)).unwrap();
    let before = [content(""), content("-wal")];
    for time in ["at first", "again"] {
        let Err(error) = Sqlite::open(&file.path) else { panic!("{name}: opened {time}") };
        assert_eq!(error.kind, StoreErrorKind::Corrupt, "{name}: {error}");
        // The pages of such a copy are others: most often SQLite itself finds no order in them.
        let is_mixed = name.starts_with("VACUUM") && error.message.contains("is damaged");
        let is_named = error.message.contains("do not belong together");
        assert!(is_named || is_mixed, "{name}: {error}");
        assert!([content(""), content("-wal")] == before, "{name}: changed {time}");
    }
}

/// Copied with `cp` while the store was closed: some opening earlier, or the last one.
#[tokio::test]
async fn a_copied_file_of_an_earlier_run_is_refused_beside_a_later_log() {
    let (file, copy) = (TempStore::new(), TempStore::new());
    let store = file.open();
    claim(&store, "first-run", 20).await;
    drop(store);
    copy_the_file(&file.path, &copy.path);
    for run in 0..3 {
        let store = file.open();
        for log in 0..3 {
            claim(&store, &format!("run-{run}-{log}"), 5).await;
            file.tamper("PRAGMA wal_checkpoint(TRUNCATE)");
        }
        claim(&store, &format!("run-{run}-last"), 5).await;
        let left = crashed(&file);
        fs::copy(&copy.path, &left.path).unwrap();
        check_refused(&left, &format!("{run} runs later"));
    }
}

/// The files as a crash leaves them right behind the first transaction of the log.
fn crashed_behind_the_first_transaction(file: &TempStore) -> TempStore {
    let left = crashed(file);
    let log = fs::read(left.beside("-wal")).unwrap();
    let number = |at: usize| u32::from_be_bytes(log[at..at + 4].try_into().unwrap());
    // <https://www.sqlite.org/fileformat2.html>, "WAL file format": the page size is in the header,
    // and the last frame of a transaction has the size of the database.
    let frame = 24 + number(8) as usize;
    let last = (32..log.len()).step_by(frame).find(|at| number(at + 4) != 0).unwrap();
    fs::write(left.beside("-wal"), &log[..last + frame]).unwrap();
    // It notes a later transaction.
    fs::remove_file(left.beside("-lock")).unwrap();
    left
}

#[tokio::test]
async fn a_log_has_its_number_from_its_first_transaction_on() {
    let (file, copy) = (TempStore::new(), TempStore::new());
    let store = file.open();
    let first = claim(&store, "first-run", 20).await;
    drop(store);
    copy_the_file(&file.path, &copy.path);
    let store = file.open();
    for log in 0..3 {
        claim(&store, &format!("second-run-{log}"), 5).await;
        file.tamper("PRAGMA wal_checkpoint(RESTART)");
        claim(&store, &format!("third-run-{log}"), 2).await;
        let left = crashed_behind_the_first_transaction(&file);
        check_whole(&crashed(&left), &first).await;
        fs::copy(&copy.path, &left.path).unwrap();
        check_refused(&left, &format!("log {log}"));
    }
}

#[tokio::test]
async fn the_files_of_every_crash_belong_together() {
    let file = TempStore::new();
    check_whole(&file, &[]).await;
    let store = file.open();
    let mut orders = Vec::new();
    for round in 0..6 {
        for n in 0..3 {
            check_whole(&crashed(&file), &orders).await;
            orders.extend(claim(&store, &format!("round-{round}-{n}"), 2).await);
        }
        check_whole(&crashed(&file), &orders).await;
        // Part of the log is in the database: a reader still needs the rest.
        let reader = Connection::open(&file.path).unwrap();
        reader.execute_batch("BEGIN; SELECT count(*) FROM orders").unwrap();
        orders.extend(claim(&store, &format!("round-{round}-read"), 3).await);
        file.tamper("PRAGMA wal_checkpoint(PASSIVE)");
        check_whole(&crashed(&file), &orders).await;
        orders.extend(claim(&store, &format!("round-{round}-then"), 1).await);
        check_whole(&crashed(&file), &orders).await;
        drop(reader);
        let by_hand = ["wal_checkpoint(RESTART)", "wal_checkpoint(TRUNCATE)"][round % 2];
        file.tamper(&format!("PRAGMA {by_hand}"));
        check_whole(&crashed(&file), &orders).await;
    }
    // Opened after a crash, and left by another one.
    let mut left = crashed(&file);
    for run in 0..3 {
        let store = left.open();
        orders.extend(claim(&store, &format!("again-{run}"), 2).await);
        left = crashed(&left);
        check_whole(&crashed(&left), &orders).await;
    }
}

/// SQLite puts a long log into the database as soon as it is committed.
#[tokio::test]
async fn a_transaction_that_is_longer_than_a_log_belongs_to_its_database() {
    let file = TempStore::new();
    let store = file.open();
    let mut orders: Vec<Order> = Vec::new();
    for round in 0..2 {
        let many: Vec<Order> = (0..1_000).map(|n| order(&format!("many-{round}-{n}"), n)).collect();
        let claims = join_all(many.iter().map(|order| store.claim(order))).await;
        assert!(claims.iter().all(|claim| *claim == Ok(Claim::Fresh)));
        orders.extend([many[0].clone(), many[999].clone()]);
        check_whole(&crashed(&file), &orders).await;
        orders.extend(claim(&store, &format!("after-{round}"), 1).await);
        check_whole(&crashed(&file), &orders).await;
    }
}

/// A person may add an index, or compact the store.
#[tokio::test]
async fn a_store_whose_tables_a_person_changed_is_opened_after_a_crash() {
    for change in ["CREATE INDEX mine ON orders (user_id)", "VACUUM", "ANALYZE"] {
        let file = TempStore::new();
        let store = file.open();
        let mut orders = claim(&store, "before-change", 20).await;
        file.tamper(change);
        check_whole(&crashed(&file), &orders).await;
        orders.extend(claim(&store, "after-change", 5).await);
        check_whole(&crashed(&file), &orders).await;
        drop(store);
        check_whole(&file, &orders).await;
    }
}

/// Without a log beside it a copy is a restore by hand, whether or not somebody marked it as one.
#[tokio::test]
async fn a_copy_that_is_put_in_the_place_of_a_store_is_a_restored_store() {
    let copies: [(&str, Copy, bool); 3] = [
        (".backup", sqlite_backup, true),
        ("paygate backup", back_up, true),
        ("cp", copy_the_file, false),
    ];
    for (name, make, is_restored) in copies {
        let (file, copy) = (TempStore::new(), TempStore::new());
        let before = claim(&file.open(), "before-copy", 3).await;
        make(&file.path, &copy.path);
        for opening in 1..=2 {
            let store = copy.open();
            let found = store.load(before[0].out_trade_no()).await.unwrap().unwrap();
            let is_handed_out = found.attempts[0].is_handed_out();
            assert_eq!(is_handed_out, is_restored, "{name}, opening {opening}");
        }
        let store = copy.open();
        let after = claim(&store, "after-copy", 3).await;
        check_whole(&crashed(&copy), &after[..0]).await;
    }
}
