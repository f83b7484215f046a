//! A store that an earlier paygate wrote is opened by this one, with everything in it.
//!
//! `version1.sql` is what the first version wrote: every state of an attempt, every kind of
//! material, every role of a payment, every state of a refund and of an event. It stays as it is,
//! so that a field that is added to a record later has a default.

use std::collections::BTreeSet;
use std::fs;

use paygate::domain::event::{DeliveryState, EventId};
use paygate::domain::ids::OutTradeNo;
use paygate::domain::order::Order;
use paygate::domain::order::attempt::AttemptState;
use paygate::domain::order::record::decode;
use paygate::domain::time::Millis;
use paygate::store::sqlite::Sqlite;
use paygate::store::{Claim, Committed, Store, StoreErrorKind};
use rusqlite::Connection;

use super::orders::{number, order};
use super::sqlite::{Place, check_columns};

const VERSION_1: &str = include_str!("version1.sql");

fn version_1() -> Place {
    let place = Place::new();
    place.tamper(VERSION_1);
    place
}

/// Every row of a query whose columns are texts.
fn rows<const N: usize>(place: &Place, sql: &str) -> Vec<[String; N]> {
    let connection = Connection::open(&place.path).unwrap();
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| Ok(std::array::from_fn(|at| row.get(at).unwrap())));
    rows.unwrap().map(Result::unwrap).collect()
}

fn orders(place: &Place) -> Vec<Order> {
    let records = rows::<1>(place, "SELECT record FROM orders ORDER BY id");
    records.iter().map(|[record]| decode(record).unwrap()).collect()
}

#[test]
fn the_fixture_has_everything_that_an_order_can_be() {
    let orders = orders(&version_1());
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

#[tokio::test]
async fn every_order_of_version_1_is_read_and_written_again() {
    let place = version_1();
    let before = orders(&place);
    assert_eq!(before.len(), 18);
    let store = place.open();
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
    check_columns(&place.path);
    let store = place.open();
    for order in &before {
        let found = store.load(order.out_trade_no()).await.unwrap().unwrap();
        assert_eq!(found, Order { version: order.version + 1, ..order.clone() });
    }
}

#[tokio::test]
async fn every_event_of_version_1_is_kept_and_what_was_due_is_due() {
    let place = version_1();
    let columns = "SELECT outbox.id, out_trade_no, event, body, state \
         FROM outbox JOIN orders ON orders.id = order_id";
    let events = rows::<5>(&place, columns);
    let due = "SELECT out_trade_no FROM orders WHERE due_ms IS NOT NULL ORDER BY due_ms, id";
    let due: Vec<OutTradeNo> = rows::<1>(&place, due).iter().map(|[no]| number(no)).collect();
    assert!(events.len() >= 9 && due.len() >= 9);
    let store = place.open();
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

/// What a database is, as text.
fn tables(place: &Place) -> Vec<[String; 2]> {
    let mut tables = rows(place, "SELECT name, coalesce(sql, '') FROM sqlite_master ORDER BY name");
    tables.extend(rows(
        place,
        "SELECT 'version', CAST(user_version AS TEXT) FROM pragma_user_version",
    ));
    tables
}

/// A table that the new version needs and the old one lost: the migration was written, and none
/// of it is kept.
#[tokio::test]
async fn a_migration_that_fails_leaves_version_1_as_it_was() {
    let place = version_1();
    place.tamper("ALTER TABLE refunds RENAME TO lost");
    let before = tables(&place);
    assert_eq!(place.refusal().kind, StoreErrorKind::Corrupt);
    assert_eq!(tables(&place), before);
    assert_eq!(place.refusal().kind, StoreErrorKind::Corrupt);
    place.tamper("ALTER TABLE lost RENAME TO refunds");
    let store = place.open();
    assert_eq!(
        store.outbox_list(DeliveryState::Parked, 99).await.map(|it| it.is_empty()),
        Ok(false)
    );
}

/// Half of a migration stands in the write-ahead log when its process is killed.
#[tokio::test]
async fn a_crash_in_the_middle_of_a_migration_leaves_version_1() {
    let (place, copy) = (version_1(), Place::new());
    place.tamper("PRAGMA journal_mode = wal");
    let dying = Connection::open(&place.path).unwrap();
    let half = "PRAGMA cache_size = 1; BEGIN IMMEDIATE; CREATE TABLE unmatched (a);
        CREATE TABLE outbox_2 AS SELECT outbox.*, record FROM outbox, orders; DROP TABLE outbox;
        PRAGMA user_version = 2;";
    dying.execute_batch(half).unwrap();
    assert!(fs::metadata(place.beside("-wal")).unwrap().len() > 0, "some of it is written");
    for suffix in ["", "-wal"] {
        fs::copy(place.beside(suffix), copy.beside(suffix)).unwrap();
    }
    let store = copy.open();
    assert_eq!(store.due(Millis(i64::MAX), 99).await.map(|it| it.is_empty()), Ok(false));
    let events: Vec<_> = rows::<1>(&copy, "SELECT id FROM outbox");
    assert!(events.len() >= 9);
    drop(dying);
}

#[test]
fn a_new_store_has_the_tables_of_a_migrated_one() {
    let (made, migrated) = (Place::new(), version_1());
    for place in [&made, &migrated] {
        drop(place.open());
    }
    assert_eq!(tables(&made), tables(&migrated));
}

#[tokio::test]
async fn what_was_opened_before_a_restore_may_be_in_a_buyers_hands() {
    let place = Place::new();
    let store = place.open();
    let (before, after) = (order("order-before", 1_000), order("order-after", 2_000));
    for order in [&before, &after] {
        assert_eq!(store.claim(order).await, Ok(Claim::Fresh));
    }
    drop(store);
    place.tamper("UPDATE meta SET restored_ms = 1500");
    let store = Sqlite::open(&place.path).unwrap();
    for (order, expected) in [(&before, true), (&after, false)] {
        let found = store.load(order.out_trade_no()).await.unwrap().unwrap();
        assert_eq!(found.attempts[0].is_handed_out(), expected);
    }
}
