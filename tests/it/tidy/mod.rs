//! The house is in order: which part may know which, how long things may be, what they may be
//! called, and what has its one place. What breaks a rule is named with file and line.

mod code;

#[cfg(feature = "mock")]
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use self::code::{
    Function, code_of, definitions, functions, paths_below, starts_path, without_tests, word_lines,
};

// ---- the rules ----

/// The parts that have the run of the whole crate: they put it together.
const ASSEMBLERS: [&str; 3] = ["lib", "main", "assemble"];

/// For every other part of `src`, the paths below `crate::` that it may import besides its own.
/// Every arrow points inward.
const ARROWS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("secret", &[]),
    ("clock", &["domain"]),
    ("error", &["domain"]),
    ("caller", &["domain", "error", "secret", "clock"]),
    // The body and the `x-client-info` header carry the same claims: one reader.
    ("guard", &["domain", "error", "secret", "clock", "caller::claims_from_json"]),
    ("pricing", &["domain", "error", "secret", "clock"]),
    ("reply", &["domain", "error", "secret", "clock"]),
    ("provider", &["domain", "error", "secret", "clock"]),
    ("merchant", &["domain", "engine::Deliver", "provider::BoxFuture"]),
    ("store", &["domain", "error", "secret", "clock", "provider::BoxFuture"]),
    ("engine", &["domain", "error", "secret", "clock", "provider", "store"]),
    (
        "layer",
        &["domain", "error", "secret", "clock", "engine", "guard", "caller", "pricing", "reply"],
    ),
    (
        "config",
        &[
            "domain", "error", "secret", "clock", "provider", "store", "caller", "pricing",
            "merchant",
        ],
    ),
    (
        "sidecar",
        &[
            "domain",
            "error",
            "secret",
            "clock",
            "assemble",
            "engine",
            "guard",
            "layer",
            "config",
            "caller",
            "reply",
            "provider::BoxFuture",
        ],
    ),
    // Its notifications go to the shop.
    ("mock", &["domain", "error", "secret", "clock", "provider", "merchant"]),
];

/// What a part may not import although [`ARROWS`] allows the path above it: the engine knows
/// traits, not who implements them.
const BARRED: &[(&str, &[&str])] =
    &[("engine", &["provider::wxpay", "provider::alipay", "store::memory", "store::sqlite"])];

/// What the domain is free of: IO, async, clocks, randomness, floats.
const IMPURE: [&str; 22] = [
    "async",
    "await",
    "f32",
    "f64",
    "tokio",
    "hyper",
    "http",
    "reqwest",
    "rusqlite",
    "rand",
    "aws_lc_rs",
    "tracing",
    "std::io",
    "std::fs",
    "std::env",
    "std::process",
    "std::thread",
    "std::time::SystemTime",
    "std::time::Instant",
    "Timestamp::now",
    "Zoned::now",
    "std::sync::Mutex",
];

/// Words of code that belong into one place of `src`: the word, the places (a trailing `/` means
/// the whole directory), and why.
const PLACES: &[(&[&str], &[&str], &str)] = &[
    (&["std::env"], &["config/"], "only config reads the environment"),
    (
        &["std::time::SystemTime", "std::time::Instant", "std::time::UNIX_EPOCH"],
        &["clock.rs"],
        "only clock.rs reads the time; deadlines are tokio's",
    ),
    (&["Timestamp::now", "Zoned::now"], &["clock.rs"], "only clock.rs reads the time"),
    (
        &["StatusCode"],
        // These speak HTTP with others than our callers, each in its own right.
        &["reply/mod.rs", "sidecar/", "mock/", "provider/"],
        "only reply names a status",
    ),
    (
        &["reqwest"],
        &["provider/transport.rs", "merchant/client.rs"],
        "only the transport calls providers, and one client the shop",
    ),
    (&["rusqlite"], &["store/sqlite/"], "only its store speaks SQL"),
];

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;
const PARAMETERS_MAX: usize = 4;
const LINE_COLUMNS_MAX: usize = 100;
const WORD_COLUMNS_MAX: usize = 60;

/// Names that say nothing, for a module or a type.
const EMPTY_NAMES: [&str; 11] = [
    "util",
    "utils",
    "helper",
    "helpers",
    "common",
    "misc",
    "manager",
    "processor",
    "data",
    "info",
    "core",
];

/// Last words of a type's name that say nothing either. `SceneInfo` may be: it is how a provider
/// spells an object on the wire.
const EMPTY_AGENTS: [&str; 6] = ["Util", "Utils", "Helper", "Helpers", "Manager", "Processor"];

/// What the top level holds, besides dotfiles and what `.gitignore` names.
const TOP_LEVEL: [&str; 11] = [
    "Cargo.toml",
    "Cargo.lock",
    "README.md",
    "CHANGELOG.md",
    "LICENSE",
    "LICENSE-MIT",
    "LICENSE-APACHE",
    "src",
    "schemas",
    "tests",
    "examples",
];

/// Marks of unfinished work, in two halves so that this file has none.
const UNFINISHED: [[&str; 2]; 4] = [["TO", "DO"], ["FIX", "ME"], ["X", "XX"], ["#[ign", "ore"]];

/// The builders' own pages, which no user has, likewise.
const PRIVATE: [[&str; 2]; 7] = [
    ["CONTR", "ACT"],
    ["DES", "IGN.md"],
    ["STY", "LE.md"],
    ["CHECK", "LIST"],
    ["PROTO", "COL.md"],
    ["UNICL", "OUD.md"],
    ["/work", "/"],
];

// ---- the tests ----

#[test]
fn every_arrow_points_inward() {
    let mut broken = Vec::new();
    for file in sources() {
        let part = file.part();
        if ASSEMBLERS.contains(&part) {
            continue;
        }
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == part) else {
            broken.push(format!("{}: `{part}` has no row in the table of arrows", file.path));
            continue;
        };
        let barred = BARRED.iter().find(|(name, _)| *name == part).map_or(&[][..], |(_, it)| it);
        for (line, path) in paths_below(&file.code, "crate") {
            let is_in =
                |prefixes: &[&str]| prefixes.iter().any(|prefix| starts_path(&path, prefix));
            if !(starts_path(&path, part) || is_in(allowed)) || is_in(barred) {
                broken.push(format!("{}:{line}: {part} may not know crate::{path}", file.path));
            }
        }
        for line in file.climbs() {
            broken.push(format!("{}:{line}: leave the part by `crate::`, not `super`", file.path));
        }
    }
    report("imports that point outward", &broken);
}

#[test]
fn the_domain_is_pure() {
    let mut broken = Vec::new();
    for file in sources().iter().filter(|file| file.part() == "domain") {
        for (line, word) in file.words(&IMPURE) {
            broken.push(format!("{}:{line}: {word}", file.path));
        }
    }
    report("impure words in the domain", &broken);
}

#[test]
fn environment_time_statuses_and_io_have_their_one_place() {
    let mut broken = Vec::new();
    for file in sources() {
        let below_src = file.path.trim_start_matches("src/");
        for (words, places, why) in PLACES {
            let is_place = |place: &&str| match place.strip_suffix('/') {
                Some(_) => below_src.starts_with(*place),
                None => below_src == *place,
            };
            if !places.iter().any(is_place) {
                let found = file.words(words).into_iter();
                broken.extend(found.map(|(line, it)| format!("{}:{line}: {it}: {why}", file.path)));
            }
        }
    }
    report("words out of their place", &broken);
}

#[test]
fn files_functions_and_lines_are_small() {
    let mut broken = Vec::new();
    for file in rust_files() {
        // A source's own tests, which stand last, do not count.
        let counted = if file.code.is_empty() { &file.text } else { &file.code };
        let lines = counted.trim_end().lines().count();
        if lines > FILE_LINES_MAX {
            broken.push(format!("{}: {lines} lines, at most {FILE_LINES_MAX}", file.path));
        }
        for (n, line) in (1..).zip(file.text.lines()) {
            let columns = line.chars().count();
            // A URL or a document in one piece cannot be broken without changing it.
            let word = line.split_whitespace().map(|word| word.chars().count()).max();
            if columns > LINE_COLUMNS_MAX && word.unwrap_or_default() <= WORD_COLUMNS_MAX {
                broken.push(format!("{}:{n}: {columns} columns", file.path));
            }
        }
        for function in functions(&code_of(&file.text)) {
            let Function { line, name, lines, parameters } = function;
            if lines > FUNCTION_LINES_MAX {
                broken.push(format!("{}:{line}: fn {name} has {lines} lines", file.path));
            }
            if parameters > PARAMETERS_MAX {
                broken.push(format!("{}:{line}: fn {name} has {parameters} parameters", file.path));
            }
        }
    }
    report("things that are too long", &broken);
}

#[test]
fn names_say_something() {
    let mut broken = Vec::new();
    for file in rust_files() {
        let stems = file.path.trim_end_matches(".rs").split('/');
        for stem in stems.filter(|stem| EMPTY_NAMES.contains(stem)) {
            broken.push(format!("{}: a module called {stem}", file.path));
        }
        for (line, keyword, name) in definitions(&code_of(&file.text)) {
            let last_word = name.rfind(char::is_uppercase).map_or(&name[..], |at| &name[at..]);
            let is_empty = EMPTY_NAMES.contains(&name.to_ascii_lowercase().as_str());
            let is_agent = EMPTY_AGENTS.contains(&last_word);
            if keyword == "fn" && name.starts_with("get_") {
                broken.push(format!("{}:{line}: fn {name}: drop the `get_`", file.path));
            }
            if keyword != "fn" && (is_empty || is_agent) {
                broken.push(format!("{}:{line}: {keyword} {name}", file.path));
            }
        }
    }
    report("names that say nothing", &broken);
}

#[test]
fn nothing_is_left_undone_and_no_test_is_skipped() {
    report("marks of unfinished work", &mentions(&UNFINISHED.map(|halves| halves.concat())));
}

#[test]
fn nothing_refers_to_a_page_that_users_do_not_have() {
    report("references to private pages", &mentions(&PRIVATE.map(|halves| halves.concat())));
}

#[test]
fn the_top_level_holds_what_belongs_there() {
    let strays: Vec<_> = entries(Path::new(ROOT))
        .into_iter()
        .filter(|name| !TOP_LEVEL.contains(&name.as_str()) && !name.starts_with('.'))
        .filter(|name| !is_ignored(name))
        .collect();
    report("strays at the top level", &strays);
}

#[cfg(feature = "mock")]
#[test]
fn the_example_environment_is_valid_with_and_without_what_is_commented_out() {
    let text = fs::read_to_string(Path::new(ROOT).join("examples/sidecar.env")).expect("the file");
    for commented_out in ["", "#"] {
        let lines = text.lines().map(|line| line.strip_prefix(commented_out).unwrap_or(line));
        let pairs = lines.filter(|line| line.starts_with("PAYGATE_")).map(|line| {
            let (name, value) = line.split_once('=').expect("NAME=value");
            (name.to_owned(), value.to_owned())
        });
        let environment: BTreeMap<String, String> = pairs.collect();
        assert!(environment.len() >= 8, "{environment:?}");
        if let Err(problems) = paygate::config::Config::read(&environment) {
            panic!("{problems}");
        }
    }
}

fn report(what: &str, broken: &[String]) {
    assert!(broken.is_empty(), "\n{} {what}:\n  {}\n", broken.len(), broken.join("\n  "));
}

// ---- the files ----

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// One file, by its path below the root.
struct File {
    path: String,
    text: String,
    /// Of a source its code without its own tests, of other files nothing.
    code: String,
}

impl File {
    /// The part of `src` that it belongs to: a directory, or a file at the top.
    fn part(&self) -> &str {
        let below = self.path.trim_start_matches("src/");
        below.split('/').next().unwrap_or(below).trim_end_matches(".rs")
    }

    /// The lines that mention one of `words`, which may be paths; use trees are unfolded.
    fn words(&self, words: &[&str]) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        for word in words {
            let lines = match word.split_once("::") {
                Some(("std", below)) => paths_below(&self.code, "std")
                    .into_iter()
                    .filter(|(_, path)| starts_path(path, below))
                    .map(|(line, _)| line)
                    .collect(),
                _ => word_lines(&self.code, word),
            };
            found.extend(lines.into_iter().map(|line| (line, (*word).to_owned())));
        }
        found
    }

    /// The lines whose `super::super` leaves the part.
    fn climbs(&self) -> Vec<usize> {
        let below = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        let depth = below.trim_end_matches("/mod").split('/').count();
        let climb = "super::".repeat(depth);
        let lines = (1..).zip(self.code.lines());
        lines.filter(|(_, line)| line.contains(&climb)).map(|(n, _)| n).collect()
    }
}

fn sources() -> Vec<File> {
    rust_files().into_iter().filter(|file| file.path.starts_with("src/")).collect()
}

fn rust_files() -> Vec<File> {
    all_files().into_iter().filter(|file| file.path.ends_with(".rs")).collect()
}

/// Every text file of the project.
fn all_files() -> Vec<File> {
    let mut files = Vec::new();
    for name in entries(Path::new(ROOT)) {
        if name != ".git" && !is_ignored(&name) {
            collect(&name, &mut files);
        }
    }
    assert!(files.len() > 20, "the project was not found at {ROOT}");
    files
}

fn collect(path: &str, files: &mut Vec<File>) {
    let full = Path::new(ROOT).join(path);
    if full.is_dir() {
        for name in entries(&full).iter().filter(|name| !is_ignored(name)) {
            collect(&format!("{path}/{name}"), files);
        }
    } else if let Ok(text) = fs::read_to_string(&full) {
        let is_source = path.starts_with("src/") && path.ends_with(".rs");
        let is_code = is_source && !path.ends_with("/tests.rs");
        let code = if is_code { without_tests(&code_of(&text)) } else { String::new() };
        files.push(File { path: path.to_owned(), text, code });
    }
}

/// The names in a directory, in order.
fn entries(directory: &Path) -> Vec<String> {
    let read = fs::read_dir(directory).expect("a directory of the project");
    let names = read.map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<_> = names.filter_map(|name| name.into_string().ok()).collect();
    names.sort();
    names
}

/// What `.gitignore` keeps out.
fn is_ignored(name: &str) -> bool {
    let endings = [".db", ".db-wal", ".db-shm", ".db-lock", ".db-ledger.json"];
    let is_store = endings.iter().any(|ending| name.ends_with(ending));
    is_store || name == "target" || name.starts_with("target-") || name == "node_modules"
}

/// Where a text file of the project has one of `needles`; licences and lock files are not ours
/// to word.
fn mentions(needles: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    let is_given = |path: &str| {
        path.starts_with("LICENSE") || path.ends_with(".lock") || path.ends_with("-lock.json")
    };
    for file in all_files().iter().filter(|file| !is_given(&file.path)) {
        for (n, line) in (1..).zip(file.text.lines()) {
            let hits = needles.iter().filter(|needle| !word_lines(line, needle).is_empty());
            found.extend(hits.map(|needle| format!("{}:{n}: {needle}", file.path)));
        }
    }
    found
}
