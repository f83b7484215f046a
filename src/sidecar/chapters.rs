//! `paygate help`: the chapters of the manual, for a terminal.

use std::fmt::{self, Write as _};

use crate::domain::nearest::distance;
use crate::manual::{Chapter, chapters};

/// Every chapter's name, with one line about it.
#[must_use]
pub fn list() -> String {
    let width = chapters().map(|chapter| chapter.name.len()).max().unwrap_or_default();
    let mut text = String::from(INTRODUCTION);
    for Chapter { name, about, .. } in chapters() {
        let _ = writeln!(text, "  {name:width$}  {about}");
    }
    text
}

/// The chapter called `name`, without the lines that only a browser needs.
///
/// # Errors
///
/// [`UnknownChapter`], with the name that was most likely meant.
pub fn text(name: &str) -> Result<String, UnknownChapter> {
    let found = chapters().find(|chapter| chapter.name == name);
    let chapter = found.ok_or_else(|| {
        let name: Vec<char> = name.chars().take(NAME_CHARS_MAX).collect();
        let nearest = chapters().map(|chapter| chapter.name).min_by_key(|it| distance(&name, it));
        UnknownChapter { name: name.iter().collect(), nearest: nearest.unwrap_or_default() }
    })?;
    let lines = chapter.text.lines().filter(|line| !is_for_browsers(line));
    let text = lines.collect::<Vec<_>>().join("\n");
    Ok(text.trim_end().to_owned() + "\n")
}

/// Whether a line is the mark of a generated table, or the target of a link: `[errors]: errors.md`.
fn is_for_browsers(line: &str) -> bool {
    let is_mark = line.starts_with("<!--") && line.ends_with("-->");
    is_mark || (line.starts_with('[') && line.contains("]: ") && line.ends_with(".md"))
}

/// No chapter has this name.
#[derive(Debug)]
pub struct UnknownChapter {
    name: String,
    nearest: &'static str,
}

impl fmt::Display for UnknownChapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let UnknownChapter { name, nearest } = self;
        write!(
            f,
            "the manual has no chapter {name:?}; did you mean {nearest}? `paygate help` lists all"
        )
    }
}

/// Longer than the name of every chapter.
const NAME_CHARS_MAX: usize = 64;

const INTRODUCTION: &str = "\
`paygate help CHAPTER` prints one of these chapters. In their text, [words][errors] refer to the
chapter `errors`. `paygate --help` lists the commands and every variable.

";
