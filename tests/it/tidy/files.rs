//! The project's files.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use super::syntax::{Syntax, TokenKind};

pub(crate) const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Every text file of the project, read once.
static FILES: LazyLock<Vec<File>> = LazyLock::new(|| {
    let mut files = Vec::new();
    for name in entries(Path::new(ROOT)) {
        if name != ".git" && !is_ignored(&name) {
            collect(&name, &mut files);
        }
    }
    assert!(files.len() > 20, "the project was not found at {ROOT}");
    files
});

/// One file, by its path below the root.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
    /// Of Rust what stands in it, of other files nothing.
    pub(super) syntax: Syntax,
    /// Of a source of the library or the program its code without its own tests.
    pub(super) code: String,
}

impl File {
    pub(crate) fn new(path: &str, text: &str) -> File {
        let is_rust = path.ends_with(".rs");
        let is_source = is_rust && path.starts_with("src/");
        let mut syntax =
            if is_rust { Syntax::read(path, text, is_source) } else { Syntax::default() };
        if path.ends_with("/tests.rs") {
            syntax.tests = std::iter::once(0..text.len()).collect();
            syntax.imports.clear();
            syntax.items.clear();
            syntax.definitions.iter_mut().for_each(|definition| definition.is_test = true);
        }
        let code = if is_source { syntax.code(text) } else { String::new() };
        File { path: path.to_owned(), text: text.to_owned(), syntax, code }
    }

    /// The part of `src` that it belongs to: a directory, or a file at the top.
    pub(super) fn part(&self) -> &str {
        let below = self.path.trim_start_matches("src/");
        below.split('/').next().unwrap_or(below).trim_end_matches(".rs")
    }

    /// Its module's path below the crate: of `src/engine/create/mod.rs` it is `engine`, `create`.
    pub(crate) fn module(&self) -> Vec<String> {
        let below = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        let names = below.split('/').filter(|name| !["lib", "mod"].contains(name));
        names.map(str::to_owned).collect()
    }

    /// The lines of its code that have `word`, which may be a path.
    pub(super) fn word_lines(&self, word: &str) -> Vec<usize> {
        word_lines(&self.code, word)
    }

    /// The paths in its code, outside of `use` items: where each begins, its line, its segments.
    pub(super) fn paths(&self) -> Vec<CodePath> {
        let syntax = &self.syntax;
        let is_use = |at: usize| syntax.uses.iter().any(|range| range.contains(&at));
        let tokens: Vec<_> = syntax
            .tokens
            .iter()
            .filter(|token| !syntax.is_test(token.range.start) && !is_use(token.range.start))
            .collect();
        let mark = |n: usize, mark: char| {
            tokens.get(n).is_some_and(|token| token.kind == TokenKind::Mark(mark))
        };
        let separator = |n: usize| mark(n, ':') && mark(n + 1, ':');
        let mut found = Vec::new();
        let mut n = 0;
        while n < tokens.len() {
            let TokenKind::Word(first) = &tokens[n].kind else {
                n += 1;
                continue;
            };
            // A field, a method or a lifetime is no path; what follows `..` may be one.
            let is_member = n > 0 && mark(n - 1, '.') && !(n > 1 && mark(n - 2, '.'));
            let is_tail = n > 1 && separator(n - 2) || n > 0 && mark(n - 1, '\'');
            let (at, line) = (tokens[n].range.start, tokens[n].line);
            let mut segments = vec![first.clone()];
            n += 1;
            while separator(n) {
                let Some(TokenKind::Word(word)) = tokens.get(n + 2).map(|token| &token.kind) else {
                    break;
                };
                segments.push(word.clone());
                n += 3;
            }
            if !is_member && !is_tail {
                found.push(CodePath { at, line, segments });
            }
        }
        found
    }
}

/// A path in code.
#[derive(Clone, Debug)]
pub(super) struct CodePath {
    pub(super) at: usize,
    pub(super) line: usize,
    pub(super) segments: Vec<String>,
}

pub(super) fn all_files() -> &'static [File] {
    &FILES
}

pub(super) fn rust_files() -> impl Iterator<Item = &'static File> {
    FILES.iter().filter(|file| file.path.ends_with(".rs"))
}

/// The files of the library and the program.
pub(crate) fn sources() -> Vec<&'static File> {
    rust_files().filter(|file| file.path.starts_with("src/")).collect()
}

fn collect(path: &str, files: &mut Vec<File>) {
    let full = Path::new(ROOT).join(path);
    if full.is_dir() {
        for name in entries(&full).iter().filter(|name| !is_ignored(name)) {
            collect(&format!("{path}/{name}"), files);
        }
    } else if let Ok(text) = fs::read_to_string(&full) {
        files.push(File::new(path, &text));
    }
}

/// The names in a directory, in order.
pub(super) fn entries(directory: &Path) -> Vec<String> {
    let read = fs::read_dir(directory).expect("a directory of the project");
    let names = read.map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<_> = names.filter_map(|name| name.into_string().ok()).collect();
    names.sort();
    names
}

/// What `.gitignore` keeps out.
pub(super) fn is_ignored(name: &str) -> bool {
    let endings = [".db", ".db-wal", ".db-shm", ".db-lock", ".db-ledger.json"];
    let is_store = endings.iter().any(|ending| name.ends_with(ending));
    is_store || name == "target" || name.starts_with("target-") || name == "node_modules"
}

/// The lines of `text` that have `word`, not as a part of a longer one.
pub(super) fn word_lines(text: &str, word: &str) -> Vec<usize> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let is_bound = |c: Option<char>, edge: Option<char>| {
        !(edge.is_some_and(is_word) && c.is_some_and(is_word))
    };
    let bounded = |at: &usize| {
        let before = text[..*at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        is_bound(before, word.chars().next()) && is_bound(after, word.chars().next_back())
    };
    let hits = text.match_indices(word).map(|(at, _)| at).filter(bounded);
    hits.map(|at| text[..at].matches('\n').count() + 1).collect()
}

/// Whether `path` is `prefix` or goes on from it.
pub(super) fn starts_path(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}
