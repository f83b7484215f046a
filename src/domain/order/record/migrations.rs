//! The versions of an order's record, and the migrations from one version to the next.
//!
//! A member that is added needs no new version: it is an [`Option`] or has `#[serde(default)]`, so
//! that earlier records are read, and an earlier paygate keeps it as a member that it does not
//! know. A member that gets another name or another meaning needs one: raise [`RECORD_VERSION`],
//! add a function to the end of [`MIGRATIONS`], and have the stores rewrite their records (a
//! migration of the store's own list). A function that was published stays as it is.
//!
//! A paygate that knows only an earlier version does not read such an order, so that a new version
//! takes effect on orders only once every process has been replaced.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::RecordError;
use crate::domain::order::unknown_members::RawMembers;

/// The version of the records that this program writes: the member `v`. A record without the
/// member is of version 1.
pub const RECORD_VERSION: u32 = 2;

/// The functions that turn a record of the version before into one of each version. A function
/// keeps the members that it does not know, and every value as it was written; [`None`] when the
/// text is no JSON object.
const MIGRATIONS: [(u32, RecordMigration); 1] = [(2, to_2)];

type RecordMigration = fn(&str) -> Option<String>;

const _: () = assert!(MIGRATIONS[MIGRATIONS.len() - 1].0 == RECORD_VERSION);

/// `record` as a record of [`RECORD_VERSION`].
pub(super) fn migrate(record: &str) -> Result<Cow<'_, str>, RecordError> {
    let stored = version(record)?;
    if stored > RECORD_VERSION {
        return Err(RecordError::Newer { version: stored });
    }
    let mut record = Cow::Borrowed(record);
    for (_, migrate) in MIGRATIONS.into_iter().filter(|(version, _)| *version > stored) {
        record = migrate(&record).ok_or(RecordError::Invalid { byte: 0 })?.into();
    }
    Ok(record)
}

/// The beginning of a record of [`RECORD_VERSION`].
pub(super) fn prefix() -> String {
    format!("{{\"v\":{RECORD_VERSION},")
}

fn version(record: &str) -> Result<u32, RecordError> {
    #[derive(Deserialize)]
    struct Versioned {
        /// 0 stands for the record of version 1, which lacks the member.
        #[serde(default)]
        v: u32,
    }
    if record.starts_with(&prefix()) {
        return Ok(RECORD_VERSION);
    }
    let invalid = |error: serde_json::Error| RecordError::Invalid { byte: error.column() };
    serde_json::from_str(record).map(|versioned: Versioned| versioned.v).map_err(invalid)
}

/// Version 2 has a version, and calls members by the words of the providers' documents.
fn to_2(record: &str) -> Option<String> {
    let record = renamed(record, "", &Names { members: &MEMBERS_2, values: &VALUES_2 })?;
    let mut members: RawMembers = serde_json::from_str(record.get()).ok()?;
    members.insert("v".to_owned(), RawValue::from_string("2".to_owned()).ok()?);
    serde_json::to_string(&members).ok()
}

const MEMBERS_2: [(&str, &str); 25] = [
    ("/facts", "terms"),
    ("/origin", "client"),
    ("/created", "created_at"),
    ("/attempts/n", "attempt_no"),
    ("/attempts/way", "method"),
    ("/attempts/way/address", "client_ip"),
    ("/attempts/account/number", "id"),
    ("/attempts/account/partner", "sub_mchid"),
    ("/attempts/account/version", "api_version"),
    ("/attempts/expires", "expires_at"),
    ("/attempts/opened", "opened_at"),
    ("/attempts/asked", "last_queried_at"),
    ("/attempts/state/ambiguous", "outcome_unknown"),
    ("/attempts/state/taken", "number_in_use"),
    ("/attempts/state/live", "payable"),
    ("/payments/attempt", "attempt_no"),
    ("/payments/known", "discovered_at"),
    ("/payments/returns", "auto_refund"),
    ("/payments/returned_in_all", "reported_refund_total"),
    ("/payments/unseen_since", "unidentified_since"),
    ("/payments/refunds/asked_at", "requested_at"),
    ("/payments/refunds/looked", "last_queried_at"),
    ("/payments/refunds/sent", "times_sent"),
    ("/payments/refunds/answered", "times_answered"),
    ("/payments/refunds/refused", "refused_at"),
];

const VALUES_2: [(&str, &str, &str); 2] = [
    ("/attempts/state", "\"unsent\"", "\"not_sent\""),
    ("/attempts/state", "\"absent\"", "\"not_found\""),
];

/// Members and values that get other names.
struct Names<'a> {
    /// The member's path, and its new name. The items of a list have the list's path.
    members: &'a [(&'a str, &'a str)],
    /// The value's path, the value, and the value in its place.
    values: &'a [(&'a str, &'a str, &'a str)],
}

impl Names<'_> {
    fn is_under(&self, path: &str) -> bool {
        let is_under =
            |name: &str| name.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
        self.members.iter().any(|(member, _)| is_under(member))
            || self.values.iter().any(|(at, ..)| *at == path || is_under(at))
    }
}

/// The value at `path` with everything in it by its new name, and the rest as it was written.
/// [`None`] when it is no JSON.
fn renamed(value: &str, path: &str, names: &Names<'_>) -> Option<Box<RawValue>> {
    let text = match value.as_bytes().first() {
        _ if !names.is_under(path) => value.to_owned(),
        Some(b'{') => {
            let mut members = RawMembers::new();
            for (key, value) in serde_json::from_str::<RawMembers>(value).ok()? {
                let path = format!("{path}/{key}");
                let new = names.members.iter().find(|(old, _)| *old == path);
                let value = renamed(value.get(), &path, names)?;
                members.insert(new.map_or(key, |(_, new)| (*new).to_owned()), value);
            }
            serde_json::to_string(&members).ok()?
        }
        Some(b'[') => {
            let items: Vec<Box<RawValue>> = serde_json::from_str(value).ok()?;
            let items: Option<Vec<_>> =
                items.iter().map(|item| renamed(item.get(), path, names)).collect();
            serde_json::to_string(&items?).ok()?
        }
        _ => {
            let new = names.values.iter().find(|(at, old, _)| *at == path && *old == value);
            new.map_or(value, |(_, _, new)| new).to_owned()
        }
    };
    RawValue::from_string(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_2_renames_what_version_1_wrote_and_keeps_the_rest_as_it_was_written() {
        let first = concat!(
            r#"{"facts":{"facts":1,"sent":[1.10]},"created":-0,"deadline":1e400,"#,
            r#""attempts":[{"n":1,"state":"unsent","asked":null,"later":{"n":1.0}},"#,
            r#"{"n":2,"state":{"live":{"live":"\u0061"}}},{"state":"closed"}],"#,
            r#""payments":[{"refunds":[{"sent":2,"refused":3},{}],"known":18446744073709551616}]}"#,
        );
        let second = concat!(
            r#"{"attempts":[{"attempt_no":1,"last_queried_at":null,"later":{"n":1.0},"#,
            r#""state":"not_sent"},"#,
            r#"{"attempt_no":2,"state":{"payable":{"live":"\u0061"}}},{"state":"closed"}],"#,
            r#""created_at":-0,"deadline":1e400,"#,
            r#""payments":[{"discovered_at":18446744073709551616,"#,
            r#""refunds":[{"refused_at":3,"times_sent":2},{}]}],"#,
            r#""terms":{"facts":1,"sent":[1.10]},"v":2}"#,
        );
        assert_eq!(migrate(first).as_deref(), Ok(second));
        assert_eq!(migrate(second).as_deref(), Ok(second));
        for text in ["", "[]", "{\"facts\":", "7"] {
            assert!(matches!(migrate(text), Err(RecordError::Invalid { .. })), "{text}");
        }
    }

    #[test]
    fn what_holds_no_renamed_member_or_value_stays_as_it_was_written() {
        let names = Names { members: &[("/a", "A")], values: &[("/b/c", "1", "2")] };
        let renamed = |text: &str| renamed(text, "", &names).map(|it| it.get().to_owned());
        let before = r#"{"a":{"z": 1, "c":1},"b":{"c":1,"d":{"z":1 ,"c":1}},"c":[ 1 ]}"#;
        let after = r#"{"A":{"z": 1, "c":1},"b":{"c":2,"d":{"z":1 ,"c":1}},"c":[ 1 ]}"#;
        assert_eq!(renamed(before).as_deref(), Some(after));
        let second = r#"{"facts": {"way":1}, "v" : 2}"#;
        assert_eq!(migrate(second).as_deref(), Ok(second), "it is of this version already");
    }

    #[test]
    fn a_version_is_read_wherever_it_stands() {
        for (record, expected) in [
            (r#"{"v":3,"a":1}"#, Err(RecordError::Newer { version: 3 })),
            (r#"{"a":{"v":1}, "v" : 3}"#, Err(RecordError::Newer { version: 3 })),
            (r#"{"a":{"v":1}, "v" : 2}"#, Ok(())),
        ] {
            assert_eq!(migrate(record).map(drop), expected, "{record}");
        }
        assert!(migrate(r#"{"v":"2"}"#).is_err());
    }
}
