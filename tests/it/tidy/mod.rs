//! The house is in order: which part may know which, how long things may be, what they may be
//! called, and what has its one place. What breaks a rule is named with file and line.

mod circles;
pub(crate) mod files;
pub(crate) mod modules;
mod rules;
pub(crate) mod syntax;
mod texts;

#[cfg(feature = "mock")]
use std::collections::BTreeMap;
use std::path::Path;

use self::files::{File, ROOT, all_files, entries, is_ignored, rust_files, sources};

// ---- the rules ----

/// The parts that have the run of the whole crate: they put it together.
const ASSEMBLERS: [&str; 4] = ["lib", "main", "assemble", "testing"];

/// For every other part of `src`, the paths below `crate::` that it may import besides its own.
/// Every arrow points inward.
const ARROWS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("secret", &[]),
    ("clock", &["domain"]),
    ("manual", &[]),
    ("error", &["domain"]),
    ("caller", &["domain", "error", "secret", "clock"]),
    // The body and the `x-client-info` header carry the same claims: one reader.
    ("guard", &["domain", "error", "secret", "clock", "caller::claims_from_json"]),
    ("pricing", &["domain", "error", "secret", "clock"]),
    ("reply", &["domain", "error", "secret", "clock"]),
    ("provider", &["domain", "error", "secret", "clock"]),
    (
        "merchant",
        &["domain", "error::debug_like_display", "engine::Deliver", "provider::BoxFuture"],
    ),
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
            "manual",
            "provider::BoxFuture",
            // Alerts go out as requests to the shop do.
            "merchant::client",
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
        &["clock/mod.rs"],
        "only clock/mod.rs reads the time; deadlines are tokio's",
    ),
    (&["Timestamp::now", "Zoned::now"], &["clock/mod.rs"], "only clock/mod.rs reads the time"),
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
const PARAMETERS_MAX: usize = 5;
pub(crate) const LINE_COLUMNS_MAX: usize = 100;
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

/// Words of names and comments that are no words of the field: a reader cannot look them up.
pub(crate) const BANNED_WORDS: [&str; 15] = [
    "told",
    "untold",
    "tells",
    "said",
    "ill",
    "looked",
    "forsaken",
    "elsewhere",
    "unseen",
    "tended",
    "story",
    "stories",
    "hurry",
    "courier",
    "couriers",
];

/// The same of comments: money is refunded.
pub(crate) const BANNED_PHRASES: [&str; 4] = ["went back", "goes back", "go back", "gone back"];

/// Names that more than one type of `src` may have, each with the reason.
const SAME_TYPE_NAMES: &[(&str, &str)] = &[];

/// How many modules the library shows.
const PUBLIC_MODULES_MAX: usize = 11;

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
    report("imports that point outward", &rules::outward_arrows(&sources()));
}

#[test]
fn no_part_has_a_circle_of_imports() {
    report("circles", &circles::circles(&sources()));
}

#[test]
fn the_domain_is_pure() {
    report("impure words in the domain", &rules::impurities(&sources()));
}

#[test]
fn environment_time_statuses_and_io_have_their_one_place() {
    report("words out of their place", &rules::misplaced(&sources()));
}

#[test]
fn files_functions_and_lines_are_small() {
    report("things that are too long", &rules::too_long(&rust_files().collect::<Vec<_>>()));
}

#[test]
fn names_say_something() {
    report("names that say nothing", &rules::empty_names(&rust_files().collect::<Vec<_>>()));
}

#[test]
fn names_and_comments_use_the_words_of_the_field() {
    report("words that nobody can look up", &rules::banned_words(&sources()));
}

#[test]
fn no_two_types_have_one_name() {
    report("names of several types", &rules::same_type_names(&sources()));
}

#[test]
fn a_module_with_children_is_a_folder() {
    let paths: Vec<_> = rust_files().map(|file| file.path.as_str()).collect();
    report("modules beside their folders", &rules::split_modules(&paths));
}

#[test]
fn the_library_shows_few_modules() {
    let lib = sources().into_iter().find(|file| file.path == "src/lib.rs").expect("the library");
    assert!(lib.code.contains("pub mod "), "its modules were not found");
    report("too many public modules", &rules::public_modules(lib));
}

#[test]
fn nothing_is_left_undone_and_no_test_is_skipped() {
    let marks = UNFINISHED.map(|halves| halves.concat());
    report("marks of unfinished work", &rules::mentions(&worded(), &marks));
}

#[test]
fn nothing_refers_to_a_page_that_users_do_not_have() {
    let pages = PRIVATE.map(|halves| halves.concat());
    report("references to private pages", &rules::mentions(&worded(), &pages));
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
    let text =
        std::fs::read_to_string(Path::new(ROOT).join("examples/sidecar.env")).expect("the file");
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

/// The files that are ours to word: neither licences nor lock files.
fn worded() -> Vec<&'static File> {
    let is_given = |path: &str| {
        path.starts_with("LICENSE") || path.ends_with(".lock") || path.ends_with("-lock.json")
    };
    all_files().iter().filter(|file| !is_given(&file.path)).collect()
}
