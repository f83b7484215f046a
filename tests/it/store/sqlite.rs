//! The store on disk: who may open it, what survives, what a failure does.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use futures_util::future::join_all;
use paygate::domain::{AttemptState, Millis, Order, decode_record};
use paygate::store::{Claim, Committed, Sqlite, Store, StoreError, StoreErrorKind, StoreMode};
use rusqlite::Connection;
use tempfile::TempDir;

use super::orders::{later, live, order};

/// A directory with the path of a store in it.
pub(super) struct TempStore {
    directory: TempDir,
    pub(super) path: PathBuf,
}

impl TempStore {
    pub(super) fn new() -> TempStore {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("paygate.db");
        TempStore { directory, path }
    }

    pub(super) fn open(&self) -> Sqlite {
        Sqlite::open(&self.path).unwrap()
    }

    /// Opens it for an engine whose money is simulated, whatever it was made for.
    #[cfg(feature = "mock")]
    pub(super) fn open_simulated(&self) -> Sqlite {
        if self.path.exists() {
            self.tamper("UPDATE meta SET mode = 'mock'");
        }
        Sqlite::open_as(&self.path, StoreMode::Mock).unwrap()
    }

    pub(super) fn refusal(&self) -> StoreError {
        Sqlite::open(&self.path).unwrap_err()
    }

    /// What any other program can do to the file.
    pub(super) fn tamper(&self, sql: &str) {
        Connection::open(&self.path).unwrap().execute_batch(sql).unwrap();
    }

    pub(super) fn beside(&self, suffix: &str) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(suffix);
        path.into()
    }
}

/// The columns that are looked up by must say what the records say.
pub(crate) fn check_columns(path: &Path) {
    let connection = Connection::open(path).unwrap();
    let mut orders = connection
        .prepare("SELECT id, out_trade_no, version, status, total_fee, pid, record FROM orders")
        .unwrap();
    let mut rows = orders.query([]).unwrap();
    let mut accounts = BTreeSet::new();
    while let Some(row) = rows.next().unwrap() {
        let record = decode_record(&row.get::<_, String>(6).unwrap()).unwrap();
        let id: i64 = row.get(0).unwrap();
        assert_eq!(row.get::<_, String>(1).unwrap(), record.out_trade_no().as_str());
        assert_eq!(row.get::<_, i64>(2).unwrap(), i64::try_from(record.version).unwrap());
        assert_eq!(row.get::<_, i8>(3).unwrap(), record.status.number());
        assert_eq!(row.get::<_, i64>(4).unwrap().to_string(), record.terms.total_fee.to_string());
        assert_eq!(row.get::<_, String>(5).unwrap(), record.terms.pid.as_str());
        accounts.extend(record.attempts.iter().filter_map(|attempt| {
            let account = attempt.account.as_ref()?;
            let version = account.api_version.name().to_owned();
            Some([record.terms.pid.to_string(), version, account.id.clone()])
        }));
        let attempts: Vec<(u32, String, String)> = connection
            .prepare(
                "SELECT attempt_no, channel_no, state FROM attempts WHERE order_id = ?1 ORDER BY 1",
            )
            .unwrap()
            .query_map([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let expected: Vec<(u32, String, String)> = record
            .attempts
            .iter()
            .map(|it| (it.n, it.channel_no.to_string(), it.state.name().to_owned()))
            .collect();
        assert_eq!(attempts, expected);
        let count = |table: &str| -> Option<usize> {
            let sql = format!("SELECT count(*) FROM {table} WHERE order_id = ?1");
            let count: i64 = connection.query_row(&sql, [id], |row| row.get(0)).unwrap();
            usize::try_from(count).ok()
        };
        let refunds = record.payments.iter().flat_map(|it| &it.refunds);
        assert_eq!(count("payments"), Some(record.payments.len()));
        assert_eq!(count("refunds"), Some(refunds.count()));
    }
    let mut listed = connection.prepare("SELECT pid, api_version, account FROM accounts").unwrap();
    let listed = listed.query_map([], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?])).unwrap();
    let listed: BTreeSet<[String; 3]> = listed.map(Result::unwrap).collect();
    assert_eq!(listed, accounts, "every account of an order, once");
}

fn claim_blocking(path: &Path, order: &Order) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let store = Sqlite::open(path).unwrap();
    assert_eq!(runtime.block_on(store.claim(order)), Ok(Claim::Fresh));
}

#[tokio::test]
async fn what_was_committed_is_there_after_reopening() {
    let file = TempStore::new();
    let (kept, changed) = (order("kept-order", 1), order("changed-one", 2));
    let store = file.open();
    assert_eq!(store.claim(&kept).await, Ok(Claim::Fresh));
    assert_eq!(store.claim(&changed).await, Ok(Claim::Fresh));
    let changed = later(&changed, live());
    assert_eq!(store.commit(&changed, &[]).await, Ok(Committed::Done));
    assert_eq!(store.transactions(), 3, "none of them met another");
    store.close().await;
    drop(store);
    assert!(!file.beside("-wal").exists(), "one file is the whole store");
    let store = file.open();
    assert_eq!(store.load(kept.out_trade_no()).await, Ok(Some(kept.clone())));
    assert_eq!(store.load(changed.out_trade_no()).await, Ok(Some(changed.clone())));
    assert_eq!(store.due(Millis(i64::MAX), 1).await, Ok(vec![kept.out_trade_no().clone()]));
    assert_eq!(store.claim(&changed).await, Ok(Claim::Existing(Box::new(changed.clone()))));
}

/// A process that is killed leaves its files as they are: here they are copied while it runs.
#[tokio::test]
async fn a_copy_of_the_files_of_a_running_store_has_every_answered_write() {
    let (file, copy) = (TempStore::new(), TempStore::new());
    let orders: Vec<Order> = (0..50).map(|n| order(&format!("killed-{n}"), n)).collect();
    let store = file.open();
    for claim in join_all(orders.iter().map(|it| store.claim(it))).await {
        assert_eq!(claim, Ok(Claim::Fresh));
    }
    for suffix in ["", "-wal"] {
        fs::copy(file.beside(suffix), copy.beside(suffix)).unwrap();
    }
    let reopened = copy.open();
    for order in &orders {
        assert_eq!(reopened.load(order.out_trade_no()).await, Ok(Some(order.clone())));
    }
}

#[test]
fn a_store_is_held_by_one_process() {
    let file = TempStore::new();
    let store = file.open();
    let error = file.refusal();
    assert_eq!(error.kind, StoreErrorKind::Unavailable);
    let holder = format!("held by process {}", std::process::id());
    assert!(error.message.contains(&holder), "{error}");
    // By whatever name it is called.
    let link = file.directory.path().join("link.db");
    std::os::unix::fs::symlink(&file.path, &link).unwrap();
    assert_eq!(Sqlite::open(&link).unwrap_err().kind, StoreErrorKind::Unavailable);
    drop(store);
    drop(file.open());
    // A lock belongs to who holds the open file, in this process or in any other.
    let lock = File::open(file.beside("-lock")).unwrap();
    lock.try_lock().unwrap();
    assert_eq!(file.refusal().kind, StoreErrorKind::Unavailable);
    drop(lock);
    drop(file.open());
}

#[test]
fn only_the_owner_reads_the_files() {
    let file = TempStore::new();
    let modes = |file: &TempStore| -> Vec<u32> {
        let files = fs::read_dir(file.directory.path()).unwrap();
        files.map(|it| it.unwrap().metadata().unwrap().permissions().mode() & 0o777).collect()
    };
    let store = file.open();
    assert_eq!(modes(&file), [0o600; 4], "the database, -wal, -shm, -lock");
    drop(store);
    fs::set_permissions(&file.path, fs::Permissions::from_mode(0o644)).unwrap();
    let _store = file.open();
    assert_eq!(modes(&file), [0o600; 4], "after a copy was put back with other rights");
}

/// What is refused, the kind, and a word of the remedy.
#[test]
fn a_file_that_is_not_ours_to_open_is_refused_and_left_as_it_was() {
    type Spoil = fn(&TempStore);
    let cases: [(&str, Spoil, StoreErrorKind, &str); 15] = [
        ("other mode", |it| mock(it), StoreErrorKind::OtherMode, "PAYGATE_MODE=mock"),
        (
            "newer",
            |it| spoil(it, "PRAGMA user_version = 7"),
            StoreErrorKind::Newer,
            "newer paygate (tables 7, this one knows 6)",
        ),
        ("older", |it| spoil(it, "PRAGMA user_version = 0"), StoreErrorKind::Corrupt, "Restore"),
        ("no table", |it| spoil(it, "DROP TABLE refunds"), StoreErrorKind::Corrupt, "Restore"),
        ("no accounts", |it| spoil(it, "DROP TABLE accounts"), StoreErrorKind::Corrupt, "Restore"),
        ("no index", |it| spoil(it, "DROP INDEX orders_due"), StoreErrorKind::Corrupt, "Restore"),
        ("no outbox", |it| spoil(it, "DROP INDEX outbox_due"), StoreErrorKind::Corrupt, "Restore"),
        (
            "another program's",
            |it| it.tamper("CREATE TABLE a (b)"),
            StoreErrorKind::Corrupt,
            "another program",
        ),
        (
            "no database",
            |it| fs::write(&it.path, "shopping list").unwrap(),
            StoreErrorKind::Corrupt,
            "no SQLite file",
        ),
        (
            "the beginning of a database",
            |it| fs::write(&it.path, "SQLite format 3\0").unwrap(),
            StoreErrorKind::Corrupt,
            "no SQLite file",
        ),
        (
            "a long text",
            |it| fs::write(&it.path, "shopping list ".repeat(10)).unwrap(),
            StoreErrorKind::Corrupt,
            "no SQLite file",
        ),
        ("empty", |it| fs::write(&it.path, "").unwrap(), StoreErrorKind::Corrupt, "it is empty"),
        ("truncated", truncate, StoreErrorKind::Corrupt, "Restore"),
        ("read-only", read_only, StoreErrorKind::Unavailable, "read-only"),
        ("two names", two_names, StoreErrorKind::Unavailable, "hard link"),
    ];
    for (name, spoil, kind, remedy) in cases {
        let file = TempStore::new();
        spoil(&file);
        let before = fs::read(&file.path).unwrap();
        let error = file.refusal();
        assert_eq!(error.kind, kind, "{name}: {error}");
        assert!(error.message.contains(remedy), "{name}: {error}");
        assert!(fs::read(&file.path).unwrap() == before, "{name}: the file has changed");
        assert_eq!(file.refusal(), error, "{name}: a second time");
    }
}

fn mock(file: &TempStore) {
    drop(Sqlite::open_as(&file.path, StoreMode::Mock).unwrap());
}

fn spoil(file: &TempStore, sql: &str) {
    claim_blocking(&file.path, &order("before-spoiling", 1));
    file.tamper(sql);
}

fn truncate(file: &TempStore) {
    claim_blocking(&file.path, &order("before-spoiling", 1));
    let length = fs::metadata(&file.path).unwrap().len();
    File::options().write(true).open(&file.path).unwrap().set_len(length / 2).unwrap();
}

#[test]
fn what_is_no_file_is_no_store() {
    for path in ["/dev/null", "/dev"] {
        let error = Sqlite::open(path).unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Unavailable, "{path}");
        assert!(error.message.contains("name "), "{error}");
    }
}

fn two_names(file: &TempStore) {
    drop(file.open());
    fs::hard_link(&file.path, file.path.with_extension("other")).unwrap();
}

fn read_only(file: &TempStore) {
    drop(file.open());
    fs::set_permissions(&file.path, fs::Permissions::from_mode(0o400)).unwrap();
}

/// Refused by its mode, with writes that only the write-ahead log has (its owner was killed).
#[tokio::test]
async fn a_refused_store_keeps_its_write_ahead_log() {
    let (file, copy) = (TempStore::new(), TempStore::new());
    let logged = order("only-in-the-log", 1);
    let store = file.open();
    assert_eq!(store.claim(&logged).await, Ok(Claim::Fresh));
    let files = || ["", "-wal"].map(|it| fs::read(copy.beside(it)).unwrap());
    for suffix in ["", "-wal"] {
        fs::copy(file.beside(suffix), copy.beside(suffix)).unwrap();
    }
    let before = files();
    let refused = Sqlite::open_as(&copy.path, StoreMode::Mock).unwrap_err();
    assert_eq!(refused.kind, StoreErrorKind::OtherMode);
    assert!(files() == before, "the files have changed");
    assert_eq!(copy.open().load(logged.out_trade_no()).await, Ok(Some(logged)));
}

/// A store is never started empty where one was.
#[test]
fn a_place_without_a_store_is_refused_where_one_must_be_missing() {
    let file = TempStore::new();
    let cases: [(PathBuf, StoreErrorKind, &str); 6] = [
        (file.directory.path().join("no/paygate.db"), StoreErrorKind::Unavailable, "directory"),
        (file.directory.path().to_owned(), StoreErrorKind::Unavailable, "is a directory"),
        (file.directory.path().join("dangling.db"), StoreErrorKind::Unavailable, "a link"),
        (PathBuf::from("/"), StoreErrorKind::Unavailable, "names no file"),
        (file.directory.path().join("loop.db"), StoreErrorKind::Unavailable, "cannot be used"),
        (PathBuf::from("/dev/null/paygate.db"), StoreErrorKind::Unavailable, "cannot be used"),
    ];
    std::os::unix::fs::symlink("/nowhere/paygate.db", &cases[2].0).unwrap();
    std::os::unix::fs::symlink(&cases[4].0, &cases[4].0).unwrap();
    for (path, kind, remedy) in cases {
        let error = Sqlite::open(&path).unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.message.contains(remedy), "{error}");
    }
    fs::write(file.beside("-wal"), "left over").unwrap();
    assert_eq!(file.refusal().kind, StoreErrorKind::Corrupt);
    assert!(!file.path.exists());
}

#[test]
fn a_crash_while_a_store_is_made_leaves_none() {
    let file = TempStore::new();
    fs::write(file.beside("-new"), "half of it").unwrap();
    drop(file.open());
    assert!(!file.beside("-new").exists());
    drop(file.open());
}

/// While another program holds the file, everything else queues up; then it is written at once.
#[tokio::test]
async fn a_thousand_claims_at_once_share_a_few_transactions() {
    let file = TempStore::new();
    let store = file.open();
    let orders: Vec<Order> = (0..1000).map(|n| order(&format!("many-{n}"), n)).collect();
    let blocker = Connection::open(&file.path).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    let claims = join_all(orders.iter().map(|it| store.claim(it)));
    // Unconstrained, all of them are polled, and so queued, before the file is let go of.
    let claims = tokio::task::unconstrained(async move {
        let release = async { blocker.execute_batch("COMMIT").unwrap() };
        tokio::join!(biased; claims, release).0
    });
    assert!(claims.await.iter().all(|it| *it == Ok(Claim::Fresh)));
    assert!(store.transactions() <= 3, "{} transactions", store.transactions());
    assert_eq!(store.due(Millis(i64::MAX), 2000).await.map(|it| it.len()), Ok(1000));
}

#[tokio::test]
async fn looking_up_does_not_wait_for_who_writes() {
    let file = TempStore::new();
    let store = file.open();
    let known = order("read-meanwhile", 1);
    assert_eq!(store.claim(&known).await, Ok(Claim::Fresh));
    let blocker = Connection::open(&file.path).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    let changed = later(&known, live());
    let commit = store.commit(&changed, &[]);
    let look_up = async {
        let found = store.load(known.out_trade_no()).await;
        blocker.execute_batch("COMMIT").unwrap();
        found
    };
    let (committed, found) = tokio::join!(commit, look_up);
    assert_eq!(found, Ok(Some(known.clone())));
    assert_eq!(committed, Ok(Committed::Done));
}

/// A trigger stands for the disk: SQLite fails in the middle of the write.
#[tokio::test]
async fn after_a_failed_write_nothing_more_is_accepted_until_the_store_is_opened_again() {
    let file = TempStore::new();
    let (before, failing) = (order("before-it", 1), order("failing-one", 2));
    let store = file.open();
    assert_eq!(store.claim(&before).await, Ok(Claim::Fresh));
    file.tamper(
        "CREATE TRIGGER full BEFORE INSERT ON attempts BEGIN SELECT RAISE(ABORT, 'full'); END",
    );
    let error = store.claim(&failing).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Io);
    assert!(error.message.contains("restart paygate"), "{error}");
    file.tamper("DROP TRIGGER full");
    assert_eq!(store.ready().await, Err(error.clone()));
    assert_eq!(store.load(before.out_trade_no()).await, Err(error.clone()));
    assert_eq!(store.commit(&later(&before, AttemptState::Paid), &[]).await, Err(error));
    drop(store);
    let store = file.open();
    assert_eq!(store.load(before.out_trade_no()).await, Ok(Some(before)));
    assert_eq!(store.load(failing.out_trade_no()).await, Ok(None));
    assert_eq!(store.claim(&failing).await, Ok(Claim::Fresh));
}

#[tokio::test]
async fn an_ill_record_is_told_without_what_it_says() {
    let file = TempStore::new();
    let store = file.open();
    let known = order("ill-record", 1);
    assert_eq!(store.claim(&known).await, Ok(Claim::Fresh));
    file.tamper("UPDATE orders SET record = '{\"terms\": \"canary\"}'");
    let error = store.load(known.out_trade_no()).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Corrupt);
    assert!(!error.message.contains("canary"), "{error}");
    assert_eq!(store.claim(&known).await.unwrap_err().kind, StoreErrorKind::Corrupt);
}
