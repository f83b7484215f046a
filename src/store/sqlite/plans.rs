//! No statement reads a whole table, however many orders there are. `meta`, which has one row, is
//! all that an opening and a transaction read besides.

use rusqlite::Connection;

use super::reader::ReadStatements;
use super::rows::WriteStatements;
use super::schema;
use crate::store::StoreMode;

/// How SQLite executes `sql`, step by step. The plan is that of a store with a million orders:
/// there are no statistics from which it could follow how many there are.
fn plan(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    // A plan is the same for every parameter, and for none.
    let steps = statement.raw_query().mapped(|row| row.get("detail"));
    steps.collect::<rusqlite::Result<_>>().unwrap()
}

/// Whether a step reads, or sorts, more than what it returns.
fn is_long(step: &str) -> bool {
    step.starts_with("SCAN") || step.contains("TEMP B-TREE")
}

fn store() -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    schema::create(&connection, StoreMode::Live).unwrap();
    connection
}

#[test]
fn no_look_up_and_no_write_reads_a_whole_table() {
    let connection = store();
    let writes = WriteStatements::STATEMENTS.map(str::to_owned);
    for sql in ReadStatements::statements().into_iter().chain(writes) {
        let steps = plan(&connection, &sql);
        assert!(!steps.iter().any(|step| is_long(step)), "{sql}: {steps:#?}");
    }
}

#[test]
fn a_statement_that_reads_a_whole_table_would_be_seen() {
    let connection = store();
    let long = [
        "SELECT record FROM orders WHERE user_id = ?1",
        "SELECT body FROM outbox WHERE order_id = ?1",
        "SELECT id FROM outbox WHERE state = ?1 ORDER BY created_ms",
        "DELETE FROM channel_numbers WHERE order_id = ?1",
    ];
    for sql in long {
        let steps = plan(&connection, sql);
        assert!(steps.iter().any(|step| is_long(step)), "{sql}: {steps:#?}");
    }
}
