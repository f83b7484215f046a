//! `paygate backup` and `paygate restore`, as the library has them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use paygate::AssembleError;
use paygate::config::{StoreCommandConfig, store_command_config};
use paygate::domain::Order;
use paygate::store::{Backup, Claim, Restored, Sqlite, Store, StoreError, StoreErrorKind};

use super::orders::order;
use super::sqlite::TempStore;

/// The commands' configuration for a store of live mode.
fn config(store: &Path) -> StoreCommandConfig {
    let name = format!("sqlite:{}", store.display());
    let variables = BTreeMap::from([("PAYGATE_STORE".to_owned(), name)]);
    store_command_config(&variables).unwrap()
}

pub(super) fn back_up(from: &Path, to: &Path) {
    try_back_up(from, to).unwrap();
}

pub(super) fn try_back_up(from: &Path, to: &Path) -> Result<Backup, StoreError> {
    config(from).back_up(to).map_err(store_error)
}

pub(super) fn restore(store: &Path, copy: &Path) -> Result<Restored, StoreError> {
    config(store).restore(copy).map_err(store_error)
}

fn store_error(error: AssembleError) -> StoreError {
    match error {
        AssembleError::Store(error) => error,
        other => panic!("{other}"),
    }
}

async fn claim(store: &Sqlite, name: &str) -> Order {
    let order = order(name, 1);
    assert_eq!(store.claim(&order).await, Ok(Claim::Fresh));
    order
}

fn names(directory: &Path) -> Vec<String> {
    let files = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> =
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_backup_has_what_was_committed_before_it_while_the_store_is_in_use() {
    let (file, copies) = (TempStore::new(), tempfile::tempdir().unwrap());
    let store = file.open();
    for n in 0..20 {
        claim(&store, &format!("backed-up-{n}")).await;
    }
    let copy = copies.path().join("copy.db");
    let backup = config(&file.path).back_up(&copy).unwrap();
    assert_eq!(backup.orders, 20);
    assert_eq!(names(copies.path()), ["copy.db"], "one file is the whole copy");
    let mode = fs::metadata(&copy).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    claim(&store, "after-backup").await;
    assert_eq!(store.ready().await, Ok(()));
}

#[tokio::test]
async fn a_backup_is_made_of_a_store_that_is_closed_or_that_a_crash_left() {
    let (file, copies) = (TempStore::new(), tempfile::tempdir().unwrap());
    let store = file.open();
    claim(&store, "first-order").await;
    let left = TempStore::new();
    for suffix in ["", "-wal"] {
        fs::copy(file.beside(suffix), left.beside(suffix)).unwrap();
    }
    drop(store);
    for (name, file) in [("closed.db", &file), ("left.db", &left)] {
        let backup = config(&file.path).back_up(&copies.path().join(name)).unwrap();
        assert_eq!(backup.orders, 1, "{name}");
        assert!(file.open().load(order("first-order", 1).out_trade_no()).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_backup_replaces_no_file_and_is_made_of_no_damaged_store() {
    let (file, other) = (TempStore::new(), TempStore::new());
    let refused = |to: &Path| store_error(config(&file.path).back_up(to).unwrap_err());
    assert_eq!(refused(&other.path).kind, StoreErrorKind::Unavailable, "no store");
    assert!(!file.path.exists(), "none is made");
    let store = file.open();
    for n in 0..30 {
        claim(&store, &format!("of-damaged-{n}")).await;
    }
    drop(other.open());
    let before = fs::read(&other.path).unwrap();
    for target in [&other.path, &file.path] {
        let error = refused(target);
        assert!(error.message.contains("is there already"), "{error}");
    }
    assert!(fs::read(&other.path).unwrap() == before);
    drop(store);
    zero_page(&file.path, 9);
    let target = file.beside("-copy");
    assert_eq!(refused(&target).kind, StoreErrorKind::Corrupt);
    assert!(!target.exists() && !file.beside("-copy-new").exists(), "half a copy");
    let nowhere = refused(Path::new("/nowhere/copy.db"));
    assert_eq!(nowhere.kind, StoreErrorKind::Unavailable, "{nowhere}");
}

pub(super) fn zero_page(path: &Path, page: u64) {
    use std::io::{Seek, SeekFrom, Write};
    let mut file = fs::File::options().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start((page - 1) * 4096)).unwrap();
    file.write_all(&[0; 4096]).unwrap();
}

/// A copy of a store with one order, and that store with another one since.
async fn copied() -> (TempStore, PathBuf, [Order; 2]) {
    let file = TempStore::new();
    let store = file.open();
    let before = claim(&store, "before-copy").await;
    let copy = file.beside("-copy");
    back_up(&file.path, &copy);
    let after = claim(&store, "after-copy").await;
    drop(store);
    (file, copy, [before, after])
}

#[tokio::test]
async fn a_restore_puts_the_copy_in_the_place_of_the_store_and_keeps_what_stood_there() {
    let (file, copy, [before, after]) = copied().await;
    // A crash left a log.
    let left = TempStore::new();
    let store = file.open();
    for suffix in ["", "-wal"] {
        fs::copy(file.beside(suffix), left.beside(suffix)).unwrap();
    }
    drop(store);
    for file in [&file, &left] {
        let restored = restore(&file.path, &copy).unwrap();
        assert_eq!(restored.orders, 1);
        for gone in ["-wal", "-shm", "-new"] {
            assert!(!file.beside(gone).exists(), "{gone}");
        }
        let store = file.open();
        let found = store.load(before.out_trade_no()).await.unwrap().unwrap();
        assert!(found.attempts[0].is_handed_out(), "what was opened before may be paid");
        assert_eq!(store.load(after.out_trade_no()).await, Ok(None));
        claim(&store, "after-restore").await;
        let replaced = Sqlite::open(restored.replaced.unwrap()).unwrap();
        assert_eq!(replaced.load(after.out_trade_no()).await, Ok(Some(after.clone())));
    }
}

#[tokio::test]
async fn a_restore_makes_a_store_where_there_is_none() {
    let (file, copy, [before, _]) = copied().await;
    let moved = TempStore::new();
    assert_eq!(restore(&moved.path, &copy).unwrap().replaced, None);
    assert!(moved.open().load(before.out_trade_no()).await.unwrap().is_some());
    // Only the log of the store is left: it does not meet the copy.
    fs::remove_file(&file.path).unwrap();
    fs::write(file.beside("-wal"), "a log").unwrap();
    assert_eq!(restore(&file.path, &copy).unwrap().replaced, None);
    assert!(file.open().load(before.out_trade_no()).await.unwrap().is_some());
}

#[tokio::test]
async fn a_restore_that_is_refused_changes_nothing() {
    let (file, copy, [_, after]) = copied().await;
    let held = file.open();
    let error = restore(&file.path, &copy).unwrap_err();
    assert!(error.message.contains("is held by process"), "{error}");
    assert_eq!(held.load(after.out_trade_no()).await, Ok(Some(after.clone())));
    drop(held);
    let damaged = file.beside("-damaged");
    fs::copy(&copy, &damaged).unwrap();
    zero_page(&damaged, 3);
    let mock = TempStore::new();
    drop(Sqlite::open_as(&mock.path, paygate::StoreMode::Mock).unwrap());
    let text = file.beside("-text");
    fs::write(&text, "shopping list").unwrap();
    let cases = [
        (&damaged, StoreErrorKind::Corrupt),
        (&mock.path, StoreErrorKind::OtherMode),
        (&text, StoreErrorKind::Corrupt),
        (&file.path, StoreErrorKind::Unavailable),
        (&file.beside("-nothing"), StoreErrorKind::Unavailable),
    ];
    let before = fs::read(&file.path).unwrap();
    for (copy, kind) in cases {
        let error = restore(&file.path, copy).unwrap_err();
        assert_eq!(error.kind, kind, "{}: {error}", copy.display());
        assert!(fs::read(&file.path).unwrap() == before, "{}", copy.display());
    }
    assert_eq!(file.open().load(after.out_trade_no()).await, Ok(Some(after)));
}

#[test]
fn a_store_that_is_no_file_is_a_problem_of_the_configuration() {
    let cases = [
        ("postgres://paygate@db/paygate", "pg_dump"),
        ("postgresql://paygate@db/paygate", "pg_dump"),
        ("memory:", "memory"),
        ("", "is required"),
    ];
    for (store, words) in cases {
        let variables = BTreeMap::from([("PAYGATE_STORE".to_owned(), store.to_owned())]);
        let problems = store_command_config(&variables).unwrap_err().to_string();
        assert!(problems.contains(words) && problems.contains("PAYGATE_STORE"), "{problems}");
    }
    let mock = [("PAYGATE_MODE", "mock"), ("PAYGATE_STORE", "memory:")];
    let mock: BTreeMap<String, String> =
        mock.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let problems = store_command_config(&mock).unwrap_err().to_string();
    assert!(problems.contains("of which no copy is made"), "{problems}");
}
