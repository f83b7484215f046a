//! An order as a store keeps it: JSON, which may say more than this program knows.
//!
//! While one paygate after the other is replaced, an older one reads, and writes, what a newer one
//! wrote. The members that it does not know come back when it writes the order again. What a
//! member is called stays: one that is stored under another name needs a default, not an alias,
//! since the old name would be kept beside it.
//!
//! ```
//! # let order = r#"{"out_trade_no": "2107151010101541001", "total_fee": 1, "subject": "tea",
//! #   "type": "goods", "pid": "default"}"#;
//! # let record = format!(r#"{{"facts":{order},"fingerprint":{{"v":"1"}},"status":"open",
//! #   "flags":{{"duplicate_paid":false,"late_paid":false,"mismatch":false}},"attempts":[],
//! #   "payments":[],"origin":{{"platform":"h5"}},"created":1,"version":1,"mood":"fair"}}"#);
//! use paygate::domain::order::record::{decode, encode};
//!
//! let mut order = decode(&record)?;
//! order.version = 2;
//! assert!(encode(&order).contains(r#""mood":"fair""#));
//! assert!(decode("{}").is_err());
//! # Ok::<(), paygate::domain::order::record::InvalidRecord>(())
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;

use super::state::Order;

/// What stands in an order's record that this program does not know; nothing in an order that it
/// made itself.
#[derive(Clone, Default, PartialEq)]
pub struct Unknown(Option<Arc<Tree>>);

/// Nothing of what it holds: it may name buyers.
impl fmt::Debug for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "some" } else { "none" })
    }
}

/// A text that is no record of an order. It says where, and quotes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidRecord {
    byte: usize,
}

impl fmt::Display for InvalidRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an order's record is ill at byte {}", self.byte)
    }
}

impl std::error::Error for InvalidRecord {}

/// Reads an order from its record.
///
/// # Errors
///
/// When the text is no record, or says something of the order that this program cannot know: a
/// state that it has no name for.
pub fn decode(record: &str) -> Result<Order, InvalidRecord> {
    let order: Order =
        serde_json::from_str(record).map_err(|error| InvalidRecord { byte: error.column() })?;
    let known = typed(&order);
    if known == record {
        return Ok(order);
    }
    let unknown = Unknown(unknown(record, &known).map(Arc::new));
    Ok(Order { unknown, ..order })
}

/// Writes an order's record, with what was read and is not known: below an attempt's state only
/// while the state is the same.
#[must_use]
pub fn encode(order: &Order) -> String {
    let known = typed(order);
    match &order.unknown.0 {
        Some(tree) => tree.merged(&known).unwrap_or(known),
        None => known,
    }
}

fn typed(order: &Order) -> String {
    serde_json::to_string(order).expect("an order has no map with other keys")
}

/// What is not known of one value. Everything is kept as it was written, so that no number is
/// rounded.
#[derive(PartialEq)]
enum Tree {
    /// Members that are not known, and what is not known of the others.
    Object { members: BTreeMap<String, Text>, within: BTreeMap<String, Tree> },
    /// What is not known of the items, each by its own name: the member called `name`.
    Items { name: &'static str, within: BTreeMap<String, Tree> },
}

/// A value as it was written.
#[derive(Serialize)]
#[serde(transparent)]
struct Text(Box<RawValue>);

impl PartialEq for Text {
    fn eq(&self, other: &Text) -> bool {
        self.0.get() == other.0.get()
    }
}

/// By which of its members an item of the list called `list` is known again.
fn name_in(list: &str) -> Option<&'static str> {
    match list {
        "attempts" => Some("n"),
        "payments" => Some("transaction_id"),
        "refunds" => Some("out_refund_no"),
        _ => None,
    }
}

type Members = BTreeMap<String, Box<RawValue>>;

/// What the object `stored` has that `known` has not, which was read from it.
fn unknown(stored: &str, known: &str) -> Option<Tree> {
    let stored: Members = serde_json::from_str(stored).ok()?;
    let known: Members = serde_json::from_str(known).ok()?;
    let (mut members, mut within) = (BTreeMap::new(), BTreeMap::new());
    for (key, value) in stored {
        match known.get(&key) {
            None => drop(members.insert(key, Text(value))),
            Some(same) => {
                let tree = match name_in(&key) {
                    Some(name) => unknown_items(name, value.get(), same.get()),
                    None => unknown(value.get(), same.get()),
                };
                within.extend(tree.map(|tree| (key, tree)));
            }
        }
    }
    let is_empty = members.is_empty() && within.is_empty();
    (!is_empty).then_some(Tree::Object { members, within })
}

fn unknown_items(name: &'static str, stored: &str, known: &str) -> Option<Tree> {
    let stored: Vec<Box<RawValue>> = serde_json::from_str(stored).ok()?;
    let known: Vec<Box<RawValue>> = serde_json::from_str(known).ok()?;
    let trees = stored.iter().zip(&known).filter_map(|(stored, known)| {
        let tree = unknown(stored.get(), known.get())?;
        Some((named(name, known.get())?, tree))
    });
    let within: BTreeMap<_, _> = trees.collect();
    (!within.is_empty()).then_some(Tree::Items { name, within })
}

fn named(name: &str, item: &str) -> Option<String> {
    let members: Members = serde_json::from_str(item).ok()?;
    members.get(name).map(|it| it.get().to_owned())
}

impl Tree {
    /// The value `known` and, where it has the same place for it, what is not known of it.
    fn merged(&self, known: &str) -> Option<String> {
        match self {
            Tree::Object { members, within } => {
                let mut object: BTreeMap<String, Text> = serde_json::from_str::<Members>(known)
                    .ok()?
                    .into_iter()
                    .map(|(key, value)| match within.get(&key) {
                        Some(tree) => (key, tree.merged_text(value)),
                        None => (key, Text(value)),
                    })
                    .collect();
                for (key, value) in members {
                    object.entry(key.clone()).or_insert_with(|| Text(value.0.clone()));
                }
                serde_json::to_string(&object).ok()
            }
            Tree::Items { name, within } => {
                let items: Vec<Box<RawValue>> = serde_json::from_str(known).ok()?;
                let items: Vec<Text> = items
                    .into_iter()
                    .map(|item| match named(name, item.get()).and_then(|it| within.get(&it)) {
                        Some(tree) => tree.merged_text(item),
                        None => Text(item),
                    })
                    .collect();
                serde_json::to_string(&items).ok()
            }
        }
    }

    fn merged_text(&self, known: Box<RawValue>) -> Text {
        let merged = self.merged(known.get()).and_then(|it| RawValue::from_string(it).ok());
        Text(merged.unwrap_or(known))
    }
}
