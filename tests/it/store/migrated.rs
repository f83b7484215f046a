//! A store that an earlier paygate wrote is opened by this one, with everything in it.
//!
//! `version1.sql` and `version2.sql` are what the first and the second version of the tables held:
//! every state of an attempt, every kind of material, every role of a payment, every state of a
//! refund and of an event. They stay as they are.

use std::collections::BTreeSet;
use std::fs;

use paygate::domain::{
    AttemptState, DeliveryState, EventId, Millis, Order, OutTradeNo, decode_record, encode_record,
};
use paygate::store::{Claim, Committed, Sqlite, Store, StoreErrorKind};
use rusqlite::Connection;

use super::orders::{number, order};
use super::sqlite::{TempStore, check_columns};

/// The tables of an earlier version, with orders in them.
struct Earlier {
    dump: &'static str,
    /// How many orders there are, and how many of them are due.
    orders: usize,
    due: usize,
    /// Selects the number, the order, the type, the body and the state of every event.
    events: &'static str,
}

const VERSION_1: Earlier = Earlier {
    dump: include_str!("version1.sql"),
    orders: 18,
    due: 9,
    events: "SELECT outbox.id, out_trade_no, event, body, state \
        FROM outbox JOIN orders ON orders.id = order_id",
};

const VERSION_2: Earlier = Earlier {
    dump: include_str!("version2.sql"),
    orders: 38,
    due: 20,
    events: "SELECT id, out_trade_no, event, body, state FROM outbox",
};

const EARLIER: [Earlier; 2] = [VERSION_1, VERSION_2];

impl Earlier {
    fn file(&self) -> TempStore {
        let file = TempStore::new();
        file.tamper(self.dump);
        file
    }
}

/// Every row of a query whose columns are texts.
fn rows<const N: usize>(file: &TempStore, sql: &str) -> Vec<[String; N]> {
    let connection = Connection::open(&file.path).unwrap();
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| Ok(std::array::from_fn(|at| row.get(at).unwrap())));
    rows.unwrap().map(Result::unwrap).collect()
}

fn records(file: &TempStore) -> Vec<String> {
    let records = rows::<1>(file, "SELECT record FROM orders ORDER BY id");
    records.into_iter().map(|[record]| record).collect()
}

fn orders(file: &TempStore) -> Vec<Order> {
    records(file).iter().map(|record| decode_record(record).unwrap()).collect()
}

#[test]
fn the_fixtures_have_everything_that_an_order_can_be() {
    for earlier in EARLIER {
        let orders = orders(&earlier.file());
        assert_eq!(orders.len(), earlier.orders);
        let attempts = || orders.iter().flat_map(|it| &it.attempts);
        let states: BTreeSet<_> = attempts().map(|it| it.state.name()).collect();
        assert_eq!(states.len(), 9, "{states:?}");
        let materials: BTreeSet<_> = attempts()
            .filter_map(|it| match &it.state {
                AttemptState::Payable { material, .. } => {
                    let text = serde_json::to_string(material).unwrap();
                    Some(text.split(['"']).nth(1).unwrap().to_owned())
                }
                _ => None,
            })
            .collect();
        assert_eq!(materials.len(), 5, "{materials:?}");
        let payments = || orders.iter().flat_map(|it| &it.payments);
        let roles: BTreeSet<_> = payments().map(|it| format!("{:?}", it.role)).collect();
        let refunds = payments().flat_map(|it| &it.refunds);
        let refunds: BTreeSet<_> = refunds.map(|it| format!("{:?}", it.state)).collect();
        assert_eq!((roles.len(), refunds.len()), (4, 4), "{roles:?} {refunds:?}");
        assert!(attempts().any(|it| it.superseded) && attempts().any(|it| it.handed_out));
    }
}

/// A member that no migration renamed would be one that nobody knows.
#[test]
fn every_member_of_an_earlier_record_is_known_but_what_a_newer_paygate_added() {
    for earlier in EARLIER {
        for order in orders(&earlier.file()) {
            let is_newer = order.out_trade_no().as_str().starts_with("v2-newer-");
            let added = encode_record(&order).matches(r#""later_"#).count();
            assert_eq!(added >= 8, is_newer, "{order:?}");
            assert_eq!(order.unknown != Default::default(), is_newer, "{order:?}");
        }
    }
}

#[tokio::test]
async fn every_order_of_an_earlier_store_is_read_and_written_again() {
    for earlier in EARLIER {
        let file = earlier.file();
        let before = orders(&file);
        let store = file.open();
        let rewritten: Vec<String> = before.iter().map(encode_record).collect();
        assert_eq!(records(&file), rewritten, "every record is of this version");
        assert!(rewritten.iter().all(|record| record.starts_with(r#"{"v":2,"#)));
        check_columns(&file.path);
        for order in &before {
            let no = order.out_trade_no();
            assert_eq!(store.load(no).await.as_ref(), Ok(&Some(order.clone())));
            let next = Order { version: order.version + 1, ..order.clone() };
            assert_eq!(store.commit(&next, &[]).await, Ok(Committed::Done), "{no}");
            assert_eq!(store.load(no).await, Ok(Some(next)));
            for payment in &order.payments {
                let found = store.find_transaction(&payment.transaction_id).await;
                assert_eq!(found, Ok(Some(no.clone())));
            }
        }
        store.close().await;
        drop(store);
        check_columns(&file.path);
        let store = file.open();
        for order in &before {
            let found = store.load(order.out_trade_no()).await.unwrap().unwrap();
            assert_eq!(found, Order { version: order.version + 1, ..order.clone() });
        }
    }
}

#[tokio::test]
async fn every_event_of_an_earlier_store_is_kept_and_what_was_due_is_due() {
    for earlier in EARLIER {
        let file = earlier.file();
        let events = rows::<5>(&file, earlier.events);
        let due = "SELECT out_trade_no FROM orders WHERE due_ms IS NOT NULL ORDER BY due_ms, id";
        let due: Vec<OutTradeNo> = rows::<1>(&file, due).iter().map(|[no]| number(no)).collect();
        assert!(events.len() >= 9 && due.len() >= earlier.due, "{}", due.len());
        let store = file.open();
        for [id, no, event, body, state] in &events {
            let found = store.outbox_find(&EventId::parse(id).unwrap()).await.unwrap().unwrap();
            assert_eq!(found.out_trade_no, number(no));
            assert_eq!((found.event.name(), &found.body), (event.as_str(), body));
            assert_eq!(found.state.name(), state);
            let listed = store.outbox_list(found.state, 99).await.unwrap();
            assert!(listed.contains(&found));
        }
        for state in DeliveryState::ALL {
            let count = events.iter().filter(|it| it[4] == state.name()).count();
            assert!(count > 0, "{state:?}");
            assert_eq!(store.outbox_list(state, 99).await.unwrap().len(), count);
        }
        let pending = store.outbox_list(DeliveryState::Pending, 99).await;
        assert_eq!(store.outbox_due(Millis(i64::MAX), 99).await, pending);
        assert_eq!(store.due(Millis(i64::MAX), 99).await, Ok(due));
    }
}

/// What a database is, as text.
fn schema(file: &TempStore) -> Vec<[String; 2]> {
    let version = "SELECT 'version', CAST(user_version AS TEXT) FROM pragma_user_version";
    let mut schema = rows(file, "SELECT name, coalesce(sql, '') FROM sqlite_master ORDER BY name");
    schema.extend(rows(file, version));
    schema
}

/// `ALTER TABLE` keeps a table's text, comments and spaces included.
fn plain(schema: Vec<[String; 2]>) -> Vec<[String; 2]> {
    let plain = |sql: String| -> String {
        let code = sql.lines().map(|line| line.split("--").next().unwrap());
        let code: String = code.collect::<Vec<_>>().join(" ").replace('"', "");
        let words: Vec<&str> = code.split_whitespace().collect();
        words.join(" ").replace(" ,", ",").replace(" )", ")")
    };
    schema.into_iter().map(|[name, sql]| [name, plain(sql)]).collect()
}

/// A table that the new version needs and the old one lost: the migration was written, and none
/// of it is kept.
#[tokio::test]
async fn a_migration_that_fails_leaves_version_1_as_it_was() {
    let file = VERSION_1.file();
    file.tamper("ALTER TABLE refunds RENAME TO lost");
    let before = schema(&file);
    assert_eq!(file.refusal().kind, StoreErrorKind::Corrupt);
    assert_eq!(schema(&file), before);
    assert_eq!(file.refusal().kind, StoreErrorKind::Corrupt);
    file.tamper("ALTER TABLE lost RENAME TO refunds");
    let store = file.open();
    assert_eq!(
        store.outbox_list(DeliveryState::Parked, 99).await.map(|it| it.is_empty()),
        Ok(false)
    );
}

/// Half of a migration stands in the write-ahead log when its process is killed.
#[tokio::test]
async fn a_crash_in_the_middle_of_a_migration_leaves_version_1() {
    let (file, copy) = (VERSION_1.file(), TempStore::new());
    file.tamper("PRAGMA journal_mode = wal");
    let dying = Connection::open(&file.path).unwrap();
    let half = "PRAGMA cache_size = 1; BEGIN IMMEDIATE; CREATE TABLE unmatched (a);
        CREATE TABLE outbox_2 AS SELECT outbox.*, record FROM outbox, orders; DROP TABLE outbox;
        PRAGMA user_version = 2;";
    dying.execute_batch(half).unwrap();
    assert!(fs::metadata(file.beside("-wal")).unwrap().len() > 0, "some of it is written");
    for suffix in ["", "-wal"] {
        fs::copy(file.beside(suffix), copy.beside(suffix)).unwrap();
    }
    let store = copy.open();
    assert_eq!(store.due(Millis(i64::MAX), 99).await.map(|it| it.is_empty()), Ok(false));
    let events: Vec<_> = rows::<1>(&copy, "SELECT id FROM outbox");
    assert!(events.len() >= 9);
    drop(dying);
}

#[test]
fn a_new_store_has_the_tables_of_a_migrated_one() {
    let made = TempStore::new();
    drop(made.open());
    let marks = "SELECT compatible_from || ' ' || marked_version FROM meta";
    for earlier in EARLIER {
        let migrated = earlier.file();
        drop(migrated.open());
        assert_eq!(plain(schema(&made)), plain(schema(&migrated)));
        assert_eq!(rows::<1>(&made, marks), rows::<1>(&migrated, marks));
    }
}

/// It is reported when it is asked for; the others are served.
#[tokio::test]
async fn a_record_that_cannot_be_read_does_not_stop_a_migration() {
    let file = VERSION_2.file();
    file.tamper("UPDATE orders SET record = '{}' WHERE out_trade_no = 'v2-prepared'");
    let store = file.open();
    assert_eq!(store.load(&number("v2-prepared")).await.unwrap_err().kind, StoreErrorKind::Corrupt);
    assert!(store.load(&number("v2-unsent")).await.unwrap().is_some());
    let record = "SELECT record FROM orders WHERE out_trade_no = 'v2-prepared'";
    assert_eq!(rows::<1>(&file, record), [["{}"]]);
}

/// Whatever somebody wrote there: paygate starts, and lists the accounts of the other records.
#[tokio::test]
async fn a_record_without_readable_attempts_does_not_stop_a_migration() {
    for record in [
        "milk",
        "[]",
        "7",
        r#"{"attempts":{"account":{"id":"1","api_version":"wxpay_v3"}}}"#,
        r#"{"attempts":[1,"x",null,{"account":5},{"account":{"id":7,"api_version":"a"}}]}"#,
        r#"{"attempts":[{"account":{"id":"1"}},{"account":{"api_version":"wxpay_v3"}}]}"#,
    ] {
        let file = VERSION_2.file();
        file.tamper(&format!(
            "UPDATE orders SET record = '{record}' WHERE out_trade_no = 'v2-prepared'"
        ));
        let store = file.open();
        let damaged = store.load(&number("v2-prepared")).await.unwrap_err();
        assert_eq!(damaged.kind, StoreErrorKind::Corrupt, "{record}");
        assert!(store.load(&number("v2-unsent")).await.unwrap().is_some());
        let accounts = "SELECT DISTINCT typeof(account) FROM accounts WHERE account <> '1'";
        assert_eq!(rows::<1>(&file, accounts), [["text"]], "{record}");
    }
}

#[tokio::test]
async fn what_was_opened_before_a_restore_may_be_in_a_buyers_hands() {
    let file = TempStore::new();
    let store = file.open();
    let (before, after) = (order("order-before", 1_000), order("order-after", 2_000));
    for order in [&before, &after] {
        assert_eq!(store.claim(order).await, Ok(Claim::Fresh));
    }
    drop(store);
    file.tamper("UPDATE meta SET restored_ms = 1500");
    let store = Sqlite::open(&file.path).unwrap();
    for (order, expected) in [(&before, true), (&after, false)] {
        let found = store.load(order.out_trade_no()).await.unwrap().unwrap();
        assert_eq!(found.attempts[0].is_handed_out(), expected);
    }
}
