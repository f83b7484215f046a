//! README and the manual: what they say, what they show, and how they say it.
//!
//! `UPDATE=1 cargo test --test it manual::` writes the generated tables and the chapters' links.
#![cfg(all(feature = "wxpay", feature = "alipay", feature = "sqlite"))]

pub(crate) mod blocks;
mod languages;
mod log_lines;
mod links;
#[cfg(feature = "mock")]
mod shop_test;
mod tables;
mod wording;

use std::fs;
use std::path::Path;

use paygate::manual::chapters;

use self::blocks::{MANUAL, documents};

/// The most lines and bytes of README: the manual has the rest.
const README_LINES_MAX: usize = 240;
const README_BYTES_MAX: usize = 16 * 1024;

#[test]
fn readme_is_short_and_names_every_chapter() {
    let documents = documents();
    let readme = &documents["README.md"];
    let (lines, bytes) = (readme.lines().count(), readme.len());
    assert!(lines <= README_LINES_MAX && bytes <= README_BYTES_MAX, "{lines} lines, {bytes} bytes");
    for chapter in documents.keys().filter(|path| path.starts_with(MANUAL)) {
        assert!(readme.contains(&format!("]({chapter})")), "README does not name {chapter}");
    }
}

#[test]
fn every_chapter_is_a_module_and_a_page_of_help() {
    let listed: Vec<_> = chapters().map(|it| format!("{MANUAL}/{}.md", it.name)).collect();
    let mut sorted = listed.clone();
    sorted.sort();
    let found: Vec<_> = documents().into_keys().filter(|path| path.starts_with(MANUAL)).collect();
    assert_eq!(sorted, found);
    for chapter in chapters() {
        assert!(chapter.text.starts_with("# "), "{} begins with no heading", chapter.name);
        // Beside its name, on a terminal of 100 columns.
        assert!(chapter.about.chars().count() <= 76, "{}: {}", chapter.name, chapter.about);
    }
}

/// Asserts that the document at `path` is as it should be, or writes it: `UPDATE=1`.
fn compare_or_write(path: &str, old: &str, new: &str) {
    if old == new {
        return;
    }
    if is_update() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        fs::write(file, new).expect("the document can be written");
        return;
    }
    let differs = (1..).zip(old.lines().zip(new.lines())).find(|(_, (is, should))| is != should);
    let (line, (is, should)) = differs.unwrap_or((0, ("its length", "another length")));
    panic!("{path}:{line}: UPDATE=1 rewrites it\n  it is:     {is}\n  should be: {should}");
}

#[expect(clippy::disallowed_methods, reason = "a person asks this test to write the documents")]
fn is_update() -> bool {
    std::env::var_os("UPDATE").is_some_and(|it| it == "1")
}
