//! The members of a record that this program does not know.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;

/// The members of an order's record that this program does not know; none in an order that it made
/// itself.
#[derive(Clone, Default, PartialEq)]
pub struct UnknownMembers(Option<Arc<Tree>>);

/// Prints none of the members: they may name buyers.
impl fmt::Debug for UnknownMembers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "some" } else { "none" })
    }
}

impl UnknownMembers {
    /// The members of the record `stored` that `known`, which was read from it, lacks.
    pub(super) fn of(stored: &str, known: &str) -> UnknownMembers {
        UnknownMembers(unknown(stored, known).map(Arc::new))
    }

    /// The object `known` with the unknown members added: below an attempt's state only while the
    /// state is the same.
    pub(super) fn merged(&self, known: String) -> String {
        match &self.0 {
            Some(tree) => tree.merged(&known).unwrap_or(known),
            None => known,
        }
    }
}

/// The unknown members of one value. They stay as they were written, so that no number is rounded.
#[derive(PartialEq)]
enum Tree {
    /// The unknown members, and the unknown members within the others.
    Object { members: BTreeMap<String, RawMember>, within: BTreeMap<String, Tree> },
    /// The unknown members of the items, each by its own name: the member called `name`.
    Items { name: &'static str, within: BTreeMap<String, Tree> },
}

/// A value as it was written.
#[derive(Serialize)]
#[serde(transparent)]
struct RawMember(Box<RawValue>);

impl PartialEq for RawMember {
    fn eq(&self, other: &RawMember) -> bool {
        self.0.get() == other.0.get()
    }
}

/// The member that identifies an item of the list called `list`.
fn name_in(list: &str) -> Option<&'static str> {
    match list {
        "attempts" => Some("attempt_no"),
        "payments" => Some("transaction_id"),
        "refunds" => Some("out_refund_no"),
        _ => None,
    }
}

/// An object's members, each value as it was written.
pub(super) type RawMembers = BTreeMap<String, Box<RawValue>>;

/// The members of the object `stored` that `known`, which was read from it, lacks.
fn unknown(stored: &str, known: &str) -> Option<Tree> {
    let stored: RawMembers = serde_json::from_str(stored).ok()?;
    let known: RawMembers = serde_json::from_str(known).ok()?;
    let (mut members, mut within) = (BTreeMap::new(), BTreeMap::new());
    for (key, value) in stored {
        match known.get(&key) {
            None => drop(members.insert(key, RawMember(value))),
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
    let members: RawMembers = serde_json::from_str(item).ok()?;
    members.get(name).map(|value| value.get().to_owned())
}

impl Tree {
    /// The value `known` with the unknown members added, where it has the same place for them.
    fn merged(&self, known: &str) -> Option<String> {
        match self {
            Tree::Object { members, within } => {
                let mut object: BTreeMap<String, RawMember> =
                    serde_json::from_str::<RawMembers>(known)
                        .ok()?
                        .into_iter()
                        .map(|(key, value)| match within.get(&key) {
                            Some(tree) => (key, tree.merged_text(value)),
                            None => (key, RawMember(value)),
                        })
                        .collect();
                for (key, value) in members {
                    object.entry(key.clone()).or_insert_with(|| RawMember(value.0.clone()));
                }
                serde_json::to_string(&object).ok()
            }
            Tree::Items { name, within } => {
                let items: Vec<Box<RawValue>> = serde_json::from_str(known).ok()?;
                let items: Vec<RawMember> = items
                    .into_iter()
                    .map(|item| match named(name, item.get()).and_then(|name| within.get(&name)) {
                        Some(tree) => tree.merged_text(item),
                        None => RawMember(item),
                    })
                    .collect();
                serde_json::to_string(&items).ok()
            }
        }
    }

    fn merged_text(&self, known: Box<RawValue>) -> RawMember {
        let merged = self.merged(known.get()).and_then(|text| RawValue::from_string(text).ok());
        RawMember(merged.unwrap_or(known))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_members_are_equal_when_their_values_were_written_alike() {
        let of = |value: &str| {
            let stored = format!(r#"{{"known":1,"later":{value}}}"#);
            UnknownMembers::of(&stored, r#"{"known":1}"#)
        };
        assert_eq!(of("1"), of("1"));
        assert_ne!(of("1"), of("2"));
        assert_ne!(of("1"), of("1.0"));
        assert_ne!(of("1"), UnknownMembers::default());
    }
}
