//! README and the manual say what the program says.
//!
//! `UPDATE=1 cargo test --test it readme::` writes the program's tables into them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use paygate::domain::{EventType, PayType};
use paygate::error::{Code, Error, Kind, Text, Violation};
use paygate::testing::config::help::markdown_table;
use paygate::testing::guard::schema::{accepts, parameter_table};
use paygate::testing::reply::{Language, ReplyWriter};
use serde_json::Value;

/// README and the manual's chapters, by their paths below the root.
fn documents() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let chapters = fs::read_dir(root.join(MANUAL)).expect("the manual's folder");
    let names = chapters.map(|entry| entry.expect("a chapter").file_name());
    let paths = names.map(|name| format!("{MANUAL}/{}", name.to_str().expect("a name in UTF-8")));
    let text = |path: &String| fs::read_to_string(root.join(path)).expect("a document in UTF-8");
    let paths = paths.filter(|path| path.ends_with(".md")).chain(["README.md".to_owned()]);
    paths.map(|path| (path.clone(), text(&path))).collect()
}

const MANUAL: &str = "src/manual";

/// The most lines and bytes of README: the manual has the rest.
const README_LINES_MAX: usize = 240;
const README_BYTES_MAX: usize = 16 * 1024;

/// The chapter with this name, after its heading.
fn chapter(name: &str) -> String {
    let heading = format!("# {name}\n");
    let mut documents = documents().into_values();
    let found = documents.find_map(|text| text.strip_prefix(&heading).map(str::to_owned));
    found.unwrap_or_else(|| panic!("no chapter begins with `{}`", heading.trim_end()))
}

#[test]
fn readme_is_short_and_names_every_chapter() {
    let documents = documents();
    let readme = &documents["README.md"];
    assert!(readme.lines().count() <= README_LINES_MAX && readme.len() <= README_BYTES_MAX);
    for chapter in documents.keys().filter(|path| path.starts_with(MANUAL)) {
        assert!(readme.contains(&format!("]({chapter})")), "README does not name {chapter}");
    }
}

/// `text` with `table` between the marks called `name`, if it has them.
fn with_table(text: &str, name: &str, table: &str) -> Option<String> {
    let (start, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let (before, rest) = text.split_once(&start)?;
    let (_, after) = rest.split_once(&end).expect("the end mark");
    Some(format!("{before}{start}{}\n{end}{after}", table.trim_end()))
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a person asks this test to write the tables")]
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
        if old == new {
            continue;
        }
        if std::env::var_os("UPDATE").is_some_and(|it| it == "1") {
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(&path);
            fs::write(file, new).expect("the document can be written");
            continue;
        }
        let (line, (is, becomes)) = (1..)
            .zip(old.lines().zip(new.lines()))
            .find(|(_, (is, becomes))| is != becomes)
            .expect("a line that differs");
        panic!(
            "{path}:{line} is not what the program says; UPDATE=1 rewrites it\n  \
             it says: {is}\n  program: {becomes}"
        );
    }
}

#[test]
fn it_names_every_pay_type() {
    let text = chapter("createPayment");
    for pay_type in PayType::ALL {
        let row = text.lines().find(|line| {
            let first = line.split('|').nth(1).unwrap_or_default();
            first.contains(&format!("`{pay_type}`"))
        });
        assert!(row.is_some(), "no table of the manual has a row for {pay_type}");
    }
}

#[test]
fn it_names_every_event() {
    let text = chapter("Events to the shop");
    for event in EventType::ALL {
        let row = format!("| `{event}` | ");
        assert!(text.contains(&row), "the manual's table of events lacks {event}");
    }
}

#[test]
fn its_examples_are_what_the_schemas_accept() {
    let text = documents().into_values().collect::<Vec<_>>().join("\n");
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
fn links_lead_to_headings() {
    let documents = documents();
    let anchors = |text: &str| -> BTreeSet<String> {
        text.lines().filter(|line| line.starts_with('#')).map(anchor).collect()
    };
    for (path, text) in &documents {
        for (file, heading) in links(path, text) {
            let Some(heading) = heading else { continue };
            let there = documents.get(&file).is_some_and(|text| anchors(text).contains(&heading));
            assert!(there, "{path} links to #{heading} of {file}, which is not there");
        }
    }
}

/// The links of the document at `path` to files below the root, and to headings of them.
fn links(path: &str, text: &str) -> Vec<(String, Option<String>)> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let here = targets.filter(|target| !target.contains("://"));
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    here.map(|target| {
        let (file, heading) = target
            .split_once('#')
            .map_or((target, None), |(file, heading)| (file, Some(heading.to_owned())));
        let file = match file.strip_prefix("../../") {
            _ if file.is_empty() => path.to_owned(),
            Some(below_root) => below_root.to_owned(),
            None if folder.is_empty() => file.to_owned(),
            None => format!("{folder}/{file}"),
        };
        (file, heading)
    })
    .collect()
}

/// A heading's name in links, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().chars();
    let kept = kept.filter(|it| it.is_alphanumeric() || matches!(it, ' ' | '-' | '_'));
    kept.map(|it| if it == ' ' { '-' } else { it.to_ascii_lowercase() }).collect()
}

#[test]
fn its_table_of_codes_has_every_refusal_with_its_status() {
    let text = chapter("Errors");
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
        assert!(stands, "the manual's table of codes lacks {code} with HTTP {status} ({error})");
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
fn links_lead_to_files() {
    let documents = documents();
    let all: Vec<String> =
        documents.iter().flat_map(|(path, text)| links(path, text)).map(|(file, _)| file).collect();
    assert!(all.contains(&"examples/axum_shop.rs".to_owned()), "{all:?}");
    for file in all {
        let there = Path::new(env!("CARGO_MANIFEST_DIR")).join(&file).exists();
        assert!(there, "a document links to {file}, which is not there");
    }
}
