//! The rules, as functions of files: each names what breaks it with file and line.

use std::collections::BTreeMap;

use super::files::{File, starts_path, word_lines};
use super::modules::Modules;
use super::syntax::{Definition, TokenKind};
use super::{
    ARROWS, ASSEMBLERS, BANNED_PHRASES, BANNED_WORDS, BARRED, EMPTY_AGENTS, EMPTY_NAMES,
    FILE_LINES_MAX, FUNCTION_LINES_MAX, IMPURE, LINE_COLUMNS_MAX, PARAMETERS_MAX, PLACES,
    PUBLIC_MODULES_MAX, SAME_TYPE_NAMES, WORD_COLUMNS_MAX,
};

/// Which part imports which.
pub(super) fn outward_arrows(files: &[&File]) -> Vec<String> {
    let mut broken = Vec::new();
    let modules = Modules::of(files);
    for file in files {
        let part = file.part();
        if ASSEMBLERS.contains(&part) {
            continue;
        }
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == part) else {
            broken.push(format!("{}: `{part}` has no row in the table of arrows", file.path));
            continue;
        };
        let barred =
            BARRED.iter().find(|(name, _)| *name == part).map_or(&[][..], |(_, barred)| barred);
        for (line, path) in crate_paths(file, &modules) {
            let is_in =
                |prefixes: &[&str]| prefixes.iter().any(|prefix| starts_path(&path, prefix));
            if !(starts_path(&path, part) || is_in(allowed)) || is_in(barred) {
                broken.push(format!("{}:{line}: {part} may not know crate::{path}", file.path));
            }
        }
    }
    broken
}

/// The paths of `file` that begin at the crate, or climb to it, without their root.
fn crate_paths(file: &File, modules: &Modules) -> Vec<(usize, String)> {
    let base = file.module();
    let imports = file.syntax.imports.iter().map(|import| {
        let module = [&base[..], &import.module].concat();
        (import.line, modules.below_crate(&module, &import.path))
    });
    let paths = file.paths().into_iter().map(|path| {
        let module = [&base[..], file.syntax.module_at(path.at)].concat();
        (path.line, modules.below_crate(&module, &path.segments))
    });
    let below = imports.chain(paths);
    below.filter_map(|(line, path)| Some((line, path?.join("::")))).collect()
}

/// Impure words in the domain.
pub(super) fn impurities(files: &[&File]) -> Vec<String> {
    let mut broken = Vec::new();
    for file in files.iter().filter(|file| file.part() == "domain") {
        for word in IMPURE {
            let lines = lines_of(file, word).into_iter();
            broken.extend(lines.map(|line| format!("{}:{line}: {word}", file.path)));
        }
    }
    broken
}

/// Words out of their place.
pub(super) fn misplaced(files: &[&File]) -> Vec<String> {
    let mut broken = Vec::new();
    for file in files {
        let below_src = file.path.trim_start_matches("src/");
        for (words, places, why) in PLACES {
            let is_place = |place: &&str| match place.strip_suffix('/') {
                Some(_) => below_src.starts_with(*place),
                None => below_src == *place,
            };
            if places.iter().any(is_place) {
                continue;
            }
            for word in *words {
                let lines = lines_of(file, word).into_iter();
                broken.extend(lines.map(|line| format!("{}:{line}: {word}: {why}", file.path)));
            }
        }
    }
    broken
}

/// The lines that have `word`, which may be a path; use trees are unfolded.
fn lines_of(file: &File, word: &str) -> Vec<usize> {
    let imports = file.syntax.imports.iter();
    let imported = imports.filter(|import| starts_path(&import.path.join("::"), word));
    let mut lines: Vec<_> = imported.map(|import| import.line).collect();
    lines.extend(file.word_lines(word));
    lines.sort_unstable();
    lines.dedup();
    lines
}

/// Files, functions, parameter lists and lines that are too long.
pub(super) fn too_long(files: &[&File]) -> Vec<String> {
    let mut broken = Vec::new();
    for file in files {
        let path = &file.path;
        // A source's own tests do not count.
        let tests = if path.starts_with("src/") { file.syntax.test_lines(&file.text) } else { 0 };
        let lines = file.text.trim_end().lines().count() - tests;
        if lines > FILE_LINES_MAX {
            broken.push(format!("{path}: {lines} lines, at most {FILE_LINES_MAX}"));
        }
        for (n, line) in (1..).zip(file.text.lines()) {
            let columns = line.chars().count();
            // A URL or a document in one piece cannot be broken without changing it.
            let word = line.split_whitespace().map(|word| word.chars().count()).max();
            if columns > LINE_COLUMNS_MAX && word.unwrap_or_default() <= WORD_COLUMNS_MAX {
                broken.push(format!("{path}:{n}: {columns} columns"));
            }
        }
        for function in &file.syntax.functions {
            let (line, name) = (function.line, &function.name);
            if function.lines > FUNCTION_LINES_MAX {
                broken.push(format!("{path}:{line}: fn {name} has {} lines", function.lines));
            }
            if function.parameters > PARAMETERS_MAX {
                let count = function.parameters;
                broken.push(format!("{path}:{line}: fn {name} has {count} parameters"));
            }
        }
    }
    broken
}

/// Names that say nothing.
pub(super) fn empty_names(files: &[&File]) -> Vec<String> {
    let mut broken = Vec::new();
    for file in files {
        let stems = file.path.trim_end_matches(".rs").split('/');
        for stem in stems.filter(|stem| EMPTY_NAMES.contains(stem)) {
            broken.push(format!("{}: a module called {stem}", file.path));
        }
        for Definition { line, keyword, name, .. } in &file.syntax.definitions {
            let last_word = name.rfind(char::is_uppercase).map_or(&name[..], |at| &name[at..]);
            let is_empty = EMPTY_NAMES.contains(&name.to_ascii_lowercase().as_str());
            let is_agent = EMPTY_AGENTS.contains(&last_word);
            if *keyword == "fn" && name.starts_with("get_") {
                broken.push(format!("{}:{line}: fn {name}: drop the `get_`", file.path));
            }
            if *keyword != "fn" && (is_empty || is_agent) {
                broken.push(format!("{}:{line}: {keyword} {name}", file.path));
            }
        }
    }
    broken
}

/// Words in names and comments that a payments engineer cannot look up.
pub(super) fn banned_words(files: &[&File]) -> Vec<String> {
    let mut broken = Vec::new();
    for file in files {
        let names = file.syntax.tokens.iter().filter_map(|token| match &token.kind {
            TokenKind::Word(name) => Some((token.line, name)),
            _ => None,
        });
        for (line, name) in names {
            let words = words_of(name);
            if let Some(word) = words.iter().find(|word| BANNED_WORDS.contains(&word.as_str())) {
                broken.push(format!("{}:{line}: `{word}` in the name {name}", file.path));
            }
        }
        for comment in &file.syntax.comments {
            let text = without_quoted_code(&comment.text).to_lowercase();
            let banned = BANNED_WORDS.iter().chain(&BANNED_PHRASES);
            for word in banned.filter(|word| !word_lines(&text, word).is_empty()) {
                broken.push(format!("{}:{}: `{word}`: {}", file.path, comment.line, comment.text));
            }
        }
    }
    // A macro's pattern may hold a name twice on one line.
    broken.dedup();
    broken
}

/// A comment without what stands in backticks: there a word of the wire keeps its name.
fn without_quoted_code(text: &str) -> String {
    text.split('`').step_by(2).collect::<Vec<_>>().join(" ")
}

/// The words of a name in snake or camel case, in small letters.
fn words_of(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_small = false;
    for c in name.chars() {
        if c == '_' || c.is_uppercase() && was_small {
            words.push(String::new());
        }
        was_small = c.is_lowercase() || c.is_numeric();
        if c != '_'
            && let Some(word) = words.last_mut()
        {
            word.extend(c.to_lowercase());
        }
    }
    words
}

/// Types and traits that share a name.
pub(super) fn same_type_names(files: &[&File]) -> Vec<String> {
    let mut places: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for file in files {
        let types = file.syntax.definitions.iter().filter(|definition| {
            !definition.is_test && !["fn", "mod"].contains(&definition.keyword)
        });
        for Definition { line, name, .. } in types {
            places.entry(name).or_default().push(format!("{}:{line}", file.path));
        }
    }
    let is_allowed = |name: &str| SAME_TYPE_NAMES.iter().any(|(allowed, _)| *allowed == name);
    let shared = places.iter().filter(|(name, places)| places.len() > 1 && !is_allowed(name));
    shared.map(|(name, places)| format!("{name}: {}", places.join(", "))).collect()
}

/// Modules in a file beside the folder of their children.
pub(super) fn split_modules(paths: &[&str]) -> Vec<String> {
    let stems = paths.iter().filter_map(|path| path.strip_suffix(".rs"));
    let is_split = |stem: &&str| {
        let folder = format!("{stem}/");
        paths.iter().any(|path| path.starts_with(&folder) && path.ends_with(".rs"))
    };
    stems
        .filter(is_split)
        .map(|stem| format!("{stem}.rs stands beside {stem}/: make it {stem}/mod.rs"))
        .collect()
}

/// More public modules than a user can oversee.
pub(super) fn public_modules(lib: &File) -> Vec<String> {
    let lines = lib.code.lines().map(str::trim);
    let public: Vec<_> = lines.filter_map(|line| line.strip_prefix("pub mod ")).collect();
    let names = public.join(" ").replace(';', ",");
    let (count, most) = (public.len(), PUBLIC_MODULES_MAX);
    if count > most { vec![format!("{count}, at most {most}: {names}")] } else { Vec::new() }
}

/// Where `files` have one of `needles`.
pub(super) fn mentions(files: &[&File], needles: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        for (n, line) in (1..).zip(file.text.lines()) {
            let hits = needles.iter().filter(|needle| !word_lines(line, needle).is_empty());
            found.extend(hits.map(|needle| format!("{}:{n}: {needle}", file.path)));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `rule` says of one file, without its path.
    fn check(rule: fn(&[&File]) -> Vec<String>, path: &str, text: &str) -> Vec<String> {
        let lib = File::new("src/lib.rs", "");
        let found = rule(&[&lib, &File::new(path, text)]);
        let start = format!("{path}:");
        found.iter().map(|it| it.trim_start_matches(&start).to_owned()).collect()
    }

    #[test]
    fn an_outward_arrow_is_found_however_it_is_written() {
        let rows: [(&str, &[&str]); 5] = [
            ("use crate::engine::Engine;", &["engine::Engine"]),
            ("use crate::{error::Error, engine::{self}};", &["error::Error", "engine"]),
            ("fn f() { crate::engine::run() }", &["engine::run"]),
            ("fn f() { log!(\"\", crate::engine::run()) }", &["engine::run"]),
            ("use super::super::engine::Engine;", &["engine::Engine"]),
        ];
        for (text, paths) in rows {
            let expected = paths.iter().map(|it| format!("1: domain may not know crate::{it}"));
            let found = check(outward_arrows, "src/domain/a.rs", text);
            assert_eq!(found, expected.collect::<Vec<_>>(), "{text}");
        }
        let inward = "use crate::domain::Order; use super::b::B; use std::fmt;";
        assert_eq!(check(outward_arrows, "src/engine/a.rs", inward), [""; 0]);
        let barred = check(outward_arrows, "src/engine/a.rs", "use crate::store::{memory, Store};");
        assert_eq!(barred, ["1: engine may not know crate::store::memory"]);
        let row = check(outward_arrows, "src/novel.rs", "");
        assert_eq!(row, [" `novel` has no row in the table of arrows"]);
    }

    #[test]
    fn impure_and_misplaced_words_are_found_in_code_only() {
        let text = "// async\nuse std::{fmt, fs::File};\nfn f() { \"await\"; x.await }";
        assert_eq!(check(impurities, "src/domain/a.rs", text), ["3: await", "2: std::fs"]);
        assert_eq!(check(impurities, "src/engine/a.rs", text), [""; 0]);
        let text = "use std::{env, fmt};\n#[cfg(test)]\nmod tests { use std::env; }";
        let why = "only config reads the environment";
        assert_eq!(check(misplaced, "src/engine/a.rs", text), [format!("1: std::env: {why}")]);
        assert_eq!(check(misplaced, "src/config/a.rs", text), [""; 0]);
    }

    #[test]
    fn what_is_too_long_is_found() {
        let parameters = "fn f(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8) {}";
        assert_eq!(check(too_long, "src/a.rs", parameters), ["1: fn f has 6 parameters"]);
        let function = format!("impl A {{\nfn f(&self) {{\n{}}}\n}}", "\n".repeat(69));
        assert_eq!(check(too_long, "src/a.rs", &function), ["2: fn f has 71 lines"]);
        let line = format!("// {}", "word ".repeat(20));
        assert_eq!(check(too_long, "src/a.rs", &line), ["1: 103 columns"]);
        let file = "const A: u8 = 1;\n".repeat(601);
        assert_eq!(check(too_long, "src/a.rs", &file), [" 601 lines, at most 600"]);
        let tests = format!("#[cfg(test)]\nmod tests {{\n{file}}}");
        assert_eq!(check(too_long, "src/a.rs", &tests), [""; 0]);
    }

    #[test]
    fn empty_names_are_found() {
        let text = "struct DataManager;\nmod utils {}\nfn get_a() {}\nstruct Info;";
        let expected = ["1: struct DataManager", "2: mod utils", "3: fn get_a: drop the `get_`"];
        let found = check(empty_names, "src/a.rs", text);
        assert_eq!(found, [&expected[..], &["4: struct Info"]].concat());
        assert_eq!(check(empty_names, "src/util.rs", ""), [" a module called util"]);
    }

    #[test]
    fn banned_words_are_found_in_names_and_comments_and_not_inside_others() {
        let text = "// It told nobody.\n/// The money Went back.\nfn is_told() {}\n\
                    struct ToldAll;\n// still untoldable\nfn stole(bill: Bill) {}";
        let found = check(banned_words, "src/a.rs", text);
        let expected = [
            "1: `told`: // It told nobody.",
            "2: `went back`: /// The money Went back.",
            "3: `told` in the name is_told",
            "4: `told` in the name ToldAll",
        ];
        let mut found: Vec<_> = found.iter().map(String::as_str).collect();
        found.sort_unstable();
        assert_eq!(found, expected);
    }

    #[test]
    fn types_of_one_name_are_found() {
        let one = File::new("src/a.rs", "struct Order; fn f() { enum Inner {} }");
        let two = File::new("src/b.rs", "mod c { trait Order {} }\ntype Inner = u8; struct Only;");
        let found = same_type_names(&[&one, &two]);
        assert_eq!(found, ["Inner: src/a.rs:1, src/b.rs:2", "Order: src/a.rs:1, src/b.rs:1"]);
        let text = "trait A { type B; } impl A for C { type B = u8; } struct B;\n\
                    #[cfg(test)]\nmod tests { struct B; }";
        assert_eq!(check(same_type_names, "src/a.rs", text), [""; 0]);
        let tests = File::new("src/a/tests.rs", "struct Order;");
        assert_eq!(same_type_names(&[&one, &tests]), [""; 0]);
    }

    #[test]
    fn a_module_beside_its_folder_is_found() {
        let paths = ["src/a.rs", "src/a/b.rs", "src/c/mod.rs", "src/c/d.rs", "src/e.rs", "src/e/f"];
        let expected = ["src/a.rs stands beside src/a/: make it src/a/mod.rs"];
        assert_eq!(split_modules(&paths), expected);
    }

    #[test]
    fn public_modules_are_counted() {
        let module = |n: usize| format!("pub mod m{n};\nmod private{n};\n");
        let lib = |count| File::new("src/lib.rs", &(0..count).map(module).collect::<String>());
        assert_eq!(public_modules(&lib(PUBLIC_MODULES_MAX)).len(), 0);
        assert_eq!(public_modules(&lib(PUBLIC_MODULES_MAX + 1)).len(), 1);
    }

    #[test]
    fn a_mention_is_found_as_a_word() {
        let file = File::new("README.md", "nothing\nFIXED FIX\n");
        assert_eq!(mentions(&[&file], &["FIX".to_owned()]), ["README.md:2: FIX"]);
    }
}
