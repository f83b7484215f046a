//! Links between the documents lead somewhere, on GitHub and in rustdoc.
//!
//! A chapter links to another by its name, `[text][errors]`, and ends with the definition
//! `[errors]: errors.md` for GitHub. `src/manual/mod.rs` has another one for rustdoc.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use paygate::manual::chapters;

use super::blocks::{MANUAL, documents};
use super::compare_or_write;

#[test]
fn a_chapter_ends_with_the_targets_of_its_links() {
    for (path, old) in documents().into_iter().filter(|(path, _)| path.starts_with(MANUAL)) {
        let is_target = |line: &str| line.contains("]: ") && line.ends_with(".md");
        let is_text = |line: &&str| !(line.starts_with('[') && is_target(line));
        let text: Vec<&str> = old.lines().filter(is_text).collect();
        let mut new = text.join("\n").trim_end().to_owned() + "\n";
        let names = names(&prose(&new));
        if !names.is_empty() {
            new.push('\n');
        }
        let folder = path.trim_start_matches(MANUAL).trim_start_matches('/').rsplit_once('/');
        for name in names {
            let target = target(folder.map(|(folder, _)| folder), &name);
            let target = target.unwrap_or_else(|| panic!("{path} links to a chapter {name}"));
            new += &format!("[{name}]: {target}\n");
        }
        compare_or_write(&path, &old, &new);
    }
}

/// Where a link to the chapter called `name` leads from a chapter in `folder`.
fn target(folder: Option<&str>, name: &str) -> Option<String> {
    let exists = |name: &str| chapters().any(|chapter| chapter.name == name);
    match folder {
        Some(folder) if exists(&format!("{folder}/{name}")) => Some(format!("{name}.md")),
        Some(_) if exists(name) => Some(format!("../{name}.md")),
        None if exists(name) => Some(format!("{name}.md")),
        _ => None,
    }
}

/// The names of chapters in links: `[text][name]`, `[name]`.
fn names(prose: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, _) in prose.match_indices('[') {
        let rest = &prose[at + 1..];
        let Some((name, after)) = rest.split_once(']') else { continue };
        let is_reference = prose[..at].ends_with(']');
        let is_short = !after.starts_with(['(', '[', ':']);
        let is_name = chapters().any(|chapter| chapter.name == name);
        if is_reference || (is_short && is_name) {
            names.insert(name.to_owned());
        }
    }
    names
}

/// A document without its code.
pub(super) fn prose(text: &str) -> String {
    let mut prose = String::new();
    let mut in_block = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            // What stands between an odd and an even backtick is code.
            let outside: Vec<&str> = line.split('`').step_by(2).collect();
            prose += &outside.join("`");
        }
        prose.push('\n');
    }
    prose
}

#[test]
fn rustdoc_knows_every_chapter_by_its_name() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(MANUAL);
    for list in ["mod.rs", "zh/mod.rs"] {
        let source = fs::read_to_string(folder.join(list)).expect("the manual's module");
        for chapter in chapters() {
            let name = chapter.name.rsplit('/').next().expect("a name");
            let definition = format!("\n[{name}]: crate::manual::");
            assert!(source.contains(&definition), "the links of {list} lack {name}");
        }
    }
}

#[test]
fn links_of_readme_lead_to_files_and_headings() {
    let readme = &documents()["README.md"];
    let headings: Vec<String> =
        readme.lines().filter(|line| line.starts_with('#')).map(anchor).collect();
    let targets = readme.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let targets: Vec<_> = targets.filter(|target| !target.contains("://")).collect();
    assert!(targets.len() > 20, "{targets:?}");
    for target in targets {
        let there = match target.strip_prefix('#') {
            Some(heading) => headings.iter().any(|it| it == heading),
            None => Path::new(env!("CARGO_MANIFEST_DIR")).join(target).exists(),
        };
        assert!(there, "README links to {target}, which is not there");
    }
}

#[test]
fn a_chapter_links_by_name_only() {
    for (path, text) in documents().into_iter().filter(|(path, _)| path.starts_with(MANUAL)) {
        let prose = prose(&text);
        let targets = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let local: Vec<_> = targets.filter(|target| !target.contains("://")).collect();
        assert_eq!(local, [""; 0], "{path}: rustdoc shows chapters under other addresses");
    }
}

/// A heading's name in links, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().chars();
    let kept = kept.filter(|it| it.is_alphanumeric() || matches!(it, ' ' | '-' | '_'));
    kept.map(|it| if it == ' ' { '-' } else { it.to_ascii_lowercase() }).collect()
}
