//! JSON as it was written: paygate checks it byte by byte before any decoder reads it.
//!
//! A decoder that keeps the last of two equal keys, or that rounds a number to a float, makes two
//! readers of one body see two orders. [`scan`] refuses a text that readers could read in two ways,
//! and [`Json::whole`] takes a number by its exact decimal value, whatever features another crate
//! turns on in `serde_json`.
//!
//! ```
//! use paygate::domain::RawJson;
//! use paygate::testing::json::{Unreadable, Whole, scan};
//!
//! let order = scan(br#"{"total_fee": 1.0, "custom": {"b": 1, "a": "\u0061"}}"#)?;
//! assert_eq!(order.member("total_fee").and_then(|fee| fee.whole()), Some(Whole::Exact(1)));
//! let custom = order.member("custom").map(|value| value.canonical());
//! assert_eq!(custom.as_deref(), Some(&br#"{"a":"a","b":1e0}"#[..]));
//! assert_eq!(RawJson::parse(r#"{"a": 1, "\u0061": 2}"#), Err(Unreadable::DuplicateKey));
//! # Ok::<(), Unreadable>(())
//! ```

mod number;
mod scanner;
mod unreadable;
mod value;

pub use number::Whole;
pub use scanner::DEPTH_MAX;
pub use unreadable::Unreadable;
pub use value::{Items, Json, JsonPart, Members, RawJson, Shape, scan};

#[cfg(test)]
pub(crate) use scanner::visits;

#[cfg(test)]
mod tests;
