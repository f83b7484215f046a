//! The manual's tables say what the program says.
//!
//! `UPDATE=1 cargo test --test it manual::` writes the generated ones.

use std::collections::BTreeSet;

use paygate::domain::{EventType, PayType};
use paygate::error::{Code, Error, Kind, Text, Violation};
use paygate::testing::config::help::markdown_table;
use paygate::testing::guard::schema::parameter_table;
use paygate::testing::reply::{Language, ReplyWriter};
use serde_json::Value;

use super::blocks::documents;
use super::compare_or_write;

/// The chapter called `name`, in each language: its path and its text.
fn chapter(name: &str) -> Vec<(String, String)> {
    let end = format!("/{name}.md");
    let found: Vec<_> = documents().into_iter().filter(|(path, _)| path.ends_with(&end)).collect();
    assert_eq!(found.len(), 2, "{name} is not there in English and Chinese");
    found
}

/// `text` with `table` between the marks called `name`, if it has them.
pub(super) fn with_table(text: &str, name: &str, table: &str) -> Option<String> {
    let (start, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let (before, rest) = text.split_once(&start)?;
    let (_, after) = rest.split_once(&end).expect("the end mark");
    Some(format!("{before}{start}{}\n{end}{after}", table.trim_end()))
}

#[test]
fn its_tables_are_the_programs_own() {
    let tables = [
        ("parameters", parameter_table("create-payment")),
        ("refund", parameter_table("refund")),
        ("variables", markdown_table()),
    ];
    for (name, table) in tables {
        let mut documents = documents().into_iter();
        let found =
            documents.find_map(|(path, old)| Some((with_table(&old, name, &table)?, path, old)));
        let (new, path, old) = found.unwrap_or_else(|| panic!("no document has the table {name}"));
        compare_or_write(&path, &old, &new);
    }
}

#[test]
fn it_names_every_pay_type() {
    for (path, text) in chapter("create_payment") {
        for pay_type in PayType::ALL {
            let row = text.lines().find(|line| {
                let first = line.split('|').nth(1).unwrap_or_default();
                first.contains(&format!("`{pay_type}`"))
            });
            assert!(row.is_some(), "no table of {path} has a row for {pay_type}");
        }
    }
}

#[test]
fn it_names_every_event() {
    for (path, text) in chapter("events") {
        for event in EventType::ALL {
            let row = format!("| `{event}` | ");
            assert!(text.contains(&row), "the table of events in {path} lacks {event}");
        }
    }
}

#[test]
fn its_table_of_codes_has_every_refusal_with_its_status() {
    let reply = ReplyWriter { request_id: "r-1", language: Language::English, mock: false };
    for (path, text) in chapter("errors") {
        let rows: Vec<(BTreeSet<u64>, BTreeSet<u64>)> = text
            .lines()
            .map(|line| line.split('|').map(str::trim).collect::<Vec<_>>())
            .filter(|cells| cells.len() == 5)
            .map(|cells| (numbers(cells[1]), numbers(cells[2])))
            .collect();
        for error in every_error() {
            let refusal = reply.refusal(&error);
            let body: Value = serde_json::from_slice(refusal.body()).expect("JSON");
            let code = body["code"].as_u64().expect("a code");
            let status = u64::from(refusal.status().as_u16());
            let has = |(codes, it): &(BTreeSet<u64>, BTreeSet<u64>)| {
                codes.contains(&code) && it.contains(&status)
            };
            assert!(rows.iter().any(has), "{path} lacks {code} with HTTP {status} ({error})");
        }
    }
}

/// The numbers of a cell: `409`, `4101, 4103`, `4101、4103`, `1001 … 1006`.
fn numbers(cell: &str) -> BTreeSet<u64> {
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let ranges = cell.split([',', '、']).filter_map(|part| match part.split_once('…') {
        Some((first, last)) => Some(number(first)?..=number(last)?),
        None => number(part).map(|it| it..=it),
    });
    ranges.flatten().collect()
}

fn every_error() -> Vec<Error> {
    let kinds = [
        Kind::NotFound,
        Kind::MethodNotAllowed,
        Kind::UnsupportedMediaType,
        Kind::BodyTooLarge,
        Kind::BodyTimeout,
        Kind::BodyUnreadable,
        Kind::CallerNotAllowed,
        Kind::ShopRefused,
        Kind::PayTypeNotPossible,
        Kind::AlreadyPaid,
        Kind::Different,
        Kind::Busy,
        Kind::SwitchRejected,
        Kind::Closed,
        Kind::ProviderRefused,
        Kind::NotSent,
        Kind::OutcomeUnknown,
        Kind::NoSuchOrder,
        Kind::NotPaid,
        Kind::NotRefunded,
        Kind::TooSoon,
        Kind::RefundExceeds,
        Kind::Unverifiable,
        Kind::Mismatched,
    ];
    let codes = [
        Code::OutTradeNo,
        Code::Type,
        Code::TotalFee,
        Code::Subject,
        Code::Provider,
        Code::Openid,
        Code::Body,
        Code::CustomKey,
        Code::OtherKey,
        Code::Pid,
    ];
    let violation = |code| Violation {
        code,
        path: "/data".to_owned(),
        rule: "type",
        message: Text::new("错误", "is wrong"),
    };
    let invalid = codes.into_iter().map(|code| Error::invalid(vec![violation(code)]));
    kinds.into_iter().map(Error::new).chain(invalid).collect()
}
