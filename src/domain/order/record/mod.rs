//! An order's record in a store: JSON, which may have members that this program does not know.
//!
//! While an operator replaces one paygate after the other, an older one reads and writes the
//! records of a newer one. It keeps the members that it does not know, and writes them back with
//! the order. The member `v`, the first of a record, is its version: [`decode_record`] migrates a
//! record of an earlier version, and refuses a newer record, which stays as it is in the
//! store. See `migrations.rs` beside this file for how a record changes.
//!
//! ```
//! # let order = r#"{"out_trade_no": "2107151010101541001", "total_fee": 1, "subject": "tea",
//! #   "type": "goods", "pid": "default"}"#;
//! # let record = format!(r#"{{"v":2,"terms":{order},"fingerprint":{{"v":"1"}},"status":"open",
//! #   "flags":{{"duplicate_paid":false,"late_paid":false,"mismatch":false}},"attempts":[],
//! #   "payments":[],"client":{{"platform":"h5"}},"created_at":1,"version":1,"mood":"fair"}}"#);
//! use paygate::domain::{RecordError, decode_record, encode_record};
//!
//! let mut order = decode_record(&record)?;
//! order.version = 2;
//! assert!(encode_record(&order).contains(r#""mood":"fair""#));
//! assert!(decode_record("{}").is_err());
//! let newer = record.replace(r#""v":2"#, r#""v":3"#);
//! assert_eq!(decode_record(&newer), Err(RecordError::Newer { version: 3 }));
//! # Ok::<(), RecordError>(())
//! ```

mod error;
mod migrations;

use super::Order;
use super::unknown_members::UnknownMembers;
pub use error::RecordError;
pub use migrations::RECORD_VERSION;

/// Reads an order from its record, of this version or of an earlier one.
///
/// # Errors
///
/// [`RecordError::Newer`] when a newer paygate wrote the record in a version of its own;
/// [`RecordError::Invalid`] when the text is no record, or names a state that this program does
/// not know.
pub fn decode_record(record: &str) -> Result<Order, RecordError> {
    let record = migrations::migrate(record)?;
    let invalid = |error: serde_json::Error| RecordError::Invalid { byte: error.column() };
    let order: Order = serde_json::from_str(&record).map_err(invalid)?;
    let known = with_version(&members(&order));
    if known == *record {
        return Ok(order);
    }
    Ok(Order { unknown: UnknownMembers::of(&record, &known), ..order })
}

/// Writes an order's record, with the members that [`decode_record`] read and does not know.
#[must_use]
pub fn encode_record(order: &Order) -> String {
    with_version(&order.unknown.merged(members(order)))
}

fn members(order: &Order) -> String {
    serde_json::to_string(order).expect("an order has no map with other keys")
}

fn with_version(members: &str) -> String {
    let rest = members.strip_prefix('{').expect("an order is an object");
    migrations::prefix() + rest
}
