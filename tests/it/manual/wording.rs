//! README and the manual are plain: short lines, the words of the field, and a runbook that is
//! found by the words of the log.

use super::blocks::documents;
use super::links::prose;
use crate::tidy::files::sources;
use crate::tidy::{BANNED_PHRASES, BANNED_WORDS, LINE_COLUMNS_MAX};

#[test]
fn lines_are_short_outside_tables_links_and_code() {
    for (path, text) in documents() {
        let mut in_block = false;
        for (n, line) in (1..).zip(text.lines()) {
            let is_fence = line.trim_start().starts_with("```");
            in_block ^= is_fence;
            let columns = line.chars().count();
            let may_be_long = in_block || line.starts_with(['|', '[']) || line.contains("](");
            assert!(may_be_long || columns <= LINE_COLUMNS_MAX, "{path}:{n}: {columns} columns");
        }
    }
}

#[test]
fn prose_uses_the_words_of_the_field() {
    for (path, text) in documents() {
        let prose = prose(&text).to_lowercase();
        for (n, line) in (1..).zip(prose.lines()) {
            let mut words = line.split(|it: char| !it.is_alphanumeric() && it != '_');
            let banned = words.find(|word| BANNED_WORDS.contains(word) || *word == "tell");
            let phrase = BANNED_PHRASES.iter().find(|phrase| line.contains(**phrase));
            assert_eq!((banned, phrase), (None, None), "{path}:{n}");
        }
    }
}

#[test]
fn the_runbooks_headings_are_words_of_the_log() {
    let runbook = &documents()["src/manual/operations.md"];
    let sources: Vec<String> = sources().iter().map(|file| unbroken(&file.text)).collect();
    let mut found = 0;
    for heading in runbook.lines().filter_map(|line| line.strip_prefix("## `")) {
        for words in heading.trim_end_matches('`').split("`, `") {
            let is_there = sources.iter().any(|text| text.contains(words));
            assert!(is_there, "the program writes nothing with `{words}`");
            found += 1;
        }
    }
    assert!(found > 20, "only {found} headings were found");
}

/// Source text whose string literals are in one line: a `\` at a line's end joins the next.
pub(super) fn unbroken(source: &str) -> String {
    let mut parts = source.split("\\\n");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.trim_start())
}

#[test]
fn every_warning_and_error_of_the_program_stands_in_the_runbook() {
    let runbook = documents()["src/manual/operations.md"].replace('\n', " ");
    let mut missing = Vec::new();
    for file in sources().iter().filter(|file| !file.path.starts_with("src/mock/")) {
        let text = unbroken(&file.text);
        for call in text.split("tracing::").skip(1) {
            let is_alarm = call.starts_with("warn!(") || call.starts_with("error!(");
            let Some(message) = call.split('"').nth(1).filter(|_| is_alarm) else { continue };
            let is_plain = !message.contains('{');
            let is_there = message.split([':', ';']).any(|part| runbook.contains(part.trim()));
            if is_plain && !is_there {
                missing.push(format!("{}: {message}", file.path));
            }
        }
    }
    assert_eq!(missing, [""; 0], "the runbook has no heading for these");
}
