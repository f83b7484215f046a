//! Names that are none of ours, and what was probably meant.

use super::source::{PREFIX, Strings};
use super::table::{VARS, Var};

/// Every `PAYGATE_*` name that is not in the table, with the nearest one that is.
pub(super) fn unknown(strings: &dyn Strings) -> Vec<(String, String)> {
    let mut unknown: Vec<String> = strings.names();
    unknown.retain(|name| name.starts_with(PREFIX) && !is_known(name) && !is_kubernetes(name));
    unknown.sort_unstable();
    unknown.into_iter().map(|name| (printable(&name), nearest(&name))).collect()
}

fn is_known(name: &str) -> bool {
    let takes_file = |stem: &str| Var::find(stem).is_some_and(|var| var.file);
    Var::find(name).is_some() || name.strip_suffix("_FILE").is_some_and(takes_file)
}

/// Kubernetes sets these in every pod beside a service called `paygate` (Kubernetes, "Service",
/// environment variables).
fn is_kubernetes(name: &str) -> bool {
    name.starts_with("PAYGATE_SERVICE_") || name.starts_with("PAYGATE_PORT")
}

fn nearest(name: &str) -> String {
    if let Some(var) = name.strip_suffix("_FILE").and_then(Var::find) {
        return var.name.to_owned();
    }
    let meant_a_file = name.contains("FILE");
    let files = VARS.iter().filter(|var| meant_a_file && var.file).map(Var::name_file);
    let name: Vec<char> = name.chars().take(CHARS_MAX).collect();
    let names = VARS.iter().map(|var| var.name.to_owned()).chain(files);
    names.min_by_key(|known| distance(&name, known)).unwrap_or_default()
}

/// How many characters have to be put in, taken out or replaced (Levenshtein).
fn distance(from: &[char], to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (at, a) in from.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], at + 1);
        for (column, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

/// A name is shown as far as it can be one.
fn printable(name: &str) -> String {
    let shown = |c: char| if c.is_ascii_graphic() { c } else { '?' };
    name.chars().take(CHARS_MAX).map(shown).collect()
}

/// Longer than every name of ours.
const CHARS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_finds_the_one_that_was_meant() {
        for (wrong, meant) in [
            ("PAYGATE_LISTN", "PAYGATE_LISTEN"),
            ("PAYGATE_STORE_URL", "PAYGATE_STORE"),
            ("PAYGATE_WXPAY_MCHID", "PAYGATE_WXPAY_MCH_ID"),
            ("PAYGATE_CALLER_TOKEN_FILES", "PAYGATE_CALLER_TOKEN_FILE"),
            ("PAYGATE_MODE_FILE", "PAYGATE_MODE"),
        ] {
            let strings = [(wrong.to_owned(), String::new())].into_iter();
            let unknown = unknown(&strings.collect::<std::collections::BTreeMap<_, _>>());
            assert_eq!(unknown, [(wrong.to_owned(), meant.to_owned())]);
        }
    }
}
