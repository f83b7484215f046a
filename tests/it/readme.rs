//! README says what the program says.
//!
//! `UPDATE=1 cargo test --test it readme::` writes the program's tables into it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use paygate::domain::{EventType, PayType};
use paygate::error::{Code, Error, Kind, Text, Violation};
use paygate::testing::config::help::markdown_table;
use paygate::testing::guard::schema::{accepts, parameter_table};
use paygate::testing::reply::{Language, ReplyWriter};
use serde_json::Value;

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")
}

fn readme() -> String {
    fs::read_to_string(path()).expect("README.md stands at the top")
}

/// What stands under `heading`, up to the next one of its level or above.
fn section(heading: &str) -> String {
    let text = readme();
    let level = heading.split(' ').next().unwrap_or_default().len();
    let lines = text.lines().skip_while(|line| *line != heading).skip(1);
    let is_end = |line: &str| {
        let marks = line.bytes().take_while(|byte| *byte == b'#').count();
        (1..=level).contains(&marks) && line[marks..].starts_with(' ')
    };
    let body: Vec<&str> = lines.take_while(|line| !is_end(line)).collect();
    assert!(!body.is_empty(), "README.md has no `{heading}`");
    body.join("\n")
}

/// `text` with `table` between the marks called `name`.
fn with_table(text: &str, name: &str, table: &str) -> String {
    let (start, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let (before, rest) = text.split_once(&start).expect("the start mark");
    let (_, after) = rest.split_once(&end).expect("the end mark");
    format!("{before}{start}{}\n{end}{after}", table.trim_end())
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a person asks this test to write the tables")]
fn its_tables_are_the_programs_own() {
    let old = readme();
    let new = with_table(&old, "parameters", &parameter_table("create-payment"));
    let new = with_table(&new, "refund", &parameter_table("refund"));
    let new = with_table(&new, "variables", &markdown_table());
    if old == new {
        return;
    }
    if std::env::var_os("UPDATE").is_some_and(|it| it == "1") {
        return fs::write(path(), new).expect("README.md can be written");
    }
    let (line, (is, becomes)) = (1..)
        .zip(old.lines().zip(new.lines()))
        .find(|(_, (is, becomes))| is != becomes)
        .expect("a line that differs");
    panic!(
        "README.md:{line} is not what the program says; UPDATE=1 rewrites it\n  \
         it says: {is}\n  program: {becomes}"
    );
}

#[test]
fn it_names_every_pay_type() {
    let text = section("## createPayment");
    for pay_type in PayType::ALL {
        let row = text.lines().find(|line| {
            let first = line.split('|').nth(1).unwrap_or_default();
            first.contains(&format!("`{pay_type}`"))
        });
        assert!(row.is_some(), "no table of README's has a row for {pay_type}");
    }
}

#[test]
fn it_names_every_event() {
    let text = section("## Events to the shop");
    for event in EventType::ALL {
        let row = format!("| `{event}` | ");
        assert!(text.contains(&row), "README's table of events lacks {event}");
    }
}

#[test]
fn its_examples_are_what_the_schemas_accept() {
    let text = readme();
    let mut operations = BTreeSet::new();
    for (operation, body) in text.split("```sh\n").skip(1).flat_map(requests) {
        let schema = schema_of(operation);
        let accepted = accepts(&schema, body.as_bytes());
        assert_eq!(accepted, Some(true), "{operation}, by {schema}: {body}");
        operations.insert(operation);
    }
    let all = ["closePayment", "createPayment", "queryPayment", "queryRefund", "refund"];
    assert_eq!(operations, BTreeSet::from(all));
}

/// The operations that a block of shell commands asks for, with their bodies.
fn requests(block: &str) -> Vec<(&str, &str)> {
    let block = block.split("```").next().unwrap_or_default();
    let calls = block.split("curl ").skip(1).filter_map(|call| {
        let (_, path) = call.split_once("/pay/")?;
        let operation = path.split([' ', '\'', '"']).next()?;
        let (_, body) = path.split_once("-d '")?;
        Some((operation, body.split('\'').next()?))
    });
    calls.collect()
}

/// `createPayment` is judged by `create-payment`.
fn schema_of(operation: &str) -> String {
    let mut name = String::new();
    for letter in operation.chars() {
        if letter.is_ascii_uppercase() {
            name.push('-');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

#[test]
fn its_links_lead_to_headings() {
    let text = readme();
    let anchors: BTreeSet<String> =
        text.lines().filter(|line| line.starts_with('#')).map(anchor).collect();
    let links = text.split("](#").skip(1).filter_map(|rest| rest.split(')').next());
    for link in links {
        assert!(anchors.contains(link), "README has no heading for #{link}");
    }
}

/// A heading's name in links, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().chars();
    let kept = kept.filter(|it| it.is_alphanumeric() || matches!(it, ' ' | '-' | '_'));
    kept.map(|it| if it == ' ' { '-' } else { it.to_ascii_lowercase() }).collect()
}

#[test]
fn its_table_of_codes_has_every_refusal_with_its_status() {
    let text = section("## Errors");
    let rows: Vec<(BTreeSet<u64>, BTreeSet<u64>)> = text
        .lines()
        .map(|line| line.split('|').map(str::trim).collect::<Vec<_>>())
        .filter(|cells| cells.len() == 5)
        .map(|cells| (numbers(cells[1]), numbers(cells[2])))
        .collect();
    let reply = ReplyWriter { request_id: "r-1", language: Language::English, mock: false };
    for error in every_error() {
        let refusal = reply.refusal(&error);
        let body: Value = serde_json::from_slice(refusal.body()).expect("JSON");
        let code = body["code"].as_u64().expect("a code");
        let status = u64::from(refusal.status().as_u16());
        let stands = rows.iter().any(|(codes, it)| codes.contains(&code) && it.contains(&status));
        assert!(stands, "README's table of codes lacks {code} with HTTP {status} ({error})");
    }
}

/// The numbers of a cell: `409`, `4101, 4103`, `1001 … 1006`.
fn numbers(cell: &str) -> BTreeSet<u64> {
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let ranges = cell.split(',').filter_map(|part| match part.split_once('…') {
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

#[test]
fn its_links_lead_to_files() {
    let text = readme();
    let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let files: Vec<&str> = links.filter(|it| !it.contains("://") && !it.starts_with('#')).collect();
    assert!(files.contains(&"examples/axum_shop.rs"), "{files:?}");
    for file in files {
        let there = Path::new(env!("CARGO_MANIFEST_DIR")).join(file).exists();
        assert!(there, "README links to {file}, which is not there");
    }
}
