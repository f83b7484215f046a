//! The chapter about the log lists every line that the program writes.

use std::collections::BTreeMap;

use super::blocks::documents;
use super::compare_or_write;
use super::tables::with_table;
use super::wording::unbroken;
use crate::tidy::files::sources;

const LEVELS: [&str; 4] = ["error", "warn", "info", "debug"];

/// A line of the log, as the source writes it.
struct LogLine {
    level: usize,
    message: String,
    fields: Vec<String>,
}

/// The lines of a source text, without those of its tests.
fn log_lines(source: &str) -> Vec<LogLine> {
    let text = unbroken(source);
    let text = text.split("\nmod tests {").next().unwrap_or_default();
    let calls = text.split("tracing::").skip(1);
    calls
        .filter_map(|call| {
            let (name, rest) = call.split_once("!(")?;
            let level = LEVELS.into_iter().position(|level| level == name)?;
            let arguments = arguments(rest);
            let (message, fields) = arguments.split_last()?;
            let message = message.trim().trim_matches('"').to_owned();
            let fields = fields.iter().map(|field| field_name(field)).collect();
            Some(LogLine { level, message, fields })
        })
        .collect()
}

/// The arguments of a call, up to its closing bracket.
fn arguments(text: &str) -> Vec<String> {
    let (mut arguments, mut depth, mut in_string) = (vec![String::new()], 0, false);
    for c in text.chars() {
        match c {
            '"' => in_string = !in_string,
            _ if in_string => {}
            '(' | '[' | '{' => depth += 1,
            ')' if depth == 0 => break,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                arguments.push(String::new());
                continue;
            }
            _ => {}
        }
        arguments.last_mut().unwrap().push(c);
    }
    arguments.retain(|argument| !argument.trim().is_empty());
    arguments
}

/// The name of `%out_trade_no` or `operations = left`.
fn field_name(argument: &str) -> String {
    let name = argument.split('=').next().unwrap_or_default();
    name.trim().trim_start_matches(['%', '?']).to_owned()
}

/// The heading of the runbook's section that has the message.
fn heading(runbook: &str, message: &str) -> Option<String> {
    let sections = runbook.split("\n## ").skip(1);
    let part = message.split([':', ';']).next().unwrap_or_default();
    let found = sections.filter_map(|section| {
        let (heading, text) = section.split_once('\n')?;
        let text = text.replace('\n', " ");
        (heading.contains(part) || text.contains(part)).then_some(heading)
    });
    // The section that is named after it comes before one that mentions it.
    let found: Vec<&str> = found.collect();
    let named = found.iter().find(|heading| heading.contains(part));
    named.or(found.first()).map(|heading| (*heading).to_owned())
}

#[test]
fn the_chapter_about_the_log_has_every_line_of_the_program() {
    let documents = documents();
    let runbook = &documents["src/manual/operations.md"];
    let mut rows: BTreeMap<(usize, String), Vec<String>> = BTreeMap::new();
    for file in sources().iter().filter(|file| !file.path.starts_with("src/mock/")) {
        for line in log_lines(&file.text) {
            let fields = rows.entry((line.level, line.message)).or_default();
            for field in line.fields {
                if !fields.contains(&field) {
                    fields.push(field);
                }
            }
        }
    }
    assert!(rows.len() > 80, "only {} lines were found", rows.len());
    let mut table =
        String::from("| level | line | fields | runbook |\n| --- | --- | --- | --- |\n");
    for ((level, message), fields) in &rows {
        let level = LEVELS[*level].to_uppercase();
        let fields: Vec<_> = fields.iter().map(|field| format!("`{field}`")).collect();
        let heading = heading(runbook, message);
        let is_alarm = ["ERROR", "WARN"].contains(&level.as_str());
        assert!(heading.is_some() || !is_alarm, "the runbook has nothing about {message:?}");
        let heading = heading.filter(|_| is_alarm).unwrap_or_default();
        table += &format!("| {level} | {message} | {} | {heading} |\n", fields.join(", "));
    }
    let (path, old) = ("src/manual/log.md", &documents["src/manual/log.md"]);
    let new = with_table(old, "lines", &table).expect("the chapter has the table's marks");
    compare_or_write(path, old, &new);
}

/// The names by which one searches a log are the same in every line.
#[test]
fn a_field_has_one_name_in_every_line() {
    let others = ["order", "order_no", "number", "pid_", "request_id", "amount", "fee"];
    for file in sources().iter().filter(|file| !file.path.starts_with("src/mock/")) {
        for line in log_lines(&file.text) {
            let other = line.fields.iter().find(|field| others.contains(&field.as_str()));
            assert_eq!(other, None, "{}: {}", file.path, line.message);
        }
    }
}
