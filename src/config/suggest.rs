//! Unknown names, and the variables that the operator probably meant.

use super::source::{PREFIX, VariableSource};
use super::table::{VARIABLES, Variable};
use crate::domain::nearest::distance;

/// Every `PAYGATE_*` name that is not in the table, with the nearest one that is.
pub(super) fn unknown_names(source: &dyn VariableSource) -> Vec<(String, String)> {
    let mut unknown: Vec<String> = source.names();
    unknown.retain(|name| name.starts_with(PREFIX) && !is_known(name) && !is_kubernetes(name));
    unknown.sort_unstable();
    unknown.into_iter().map(|name| (printable(&name), nearest(&name))).collect()
}

fn is_known(name: &str) -> bool {
    let takes_file = |stem: &str| Variable::find(stem).is_some_and(|variable| variable.file);
    Variable::find(name).is_some() || name.strip_suffix("_FILE").is_some_and(takes_file)
}

/// A name of Kubernetes with a value that it never sets, and the variable that was probably meant:
/// a `PAYGATE_PORT` of Kubernetes is a URL such as `tcp://10.0.0.11:8787`.
pub(super) fn unlike_kubernetes(
    source: &dyn VariableSource,
) -> Option<(&'static str, &'static str)> {
    let port = source.get("PAYGATE_PORT")?;
    let is_number = !port.trim().is_empty() && port.trim().bytes().all(|b| b.is_ascii_digit());
    is_number.then_some(("PAYGATE_PORT", "PAYGATE_LISTEN"))
}

/// Kubernetes sets these in every pod beside a service called `paygate` (Kubernetes, "Service",
/// environment variables).
fn is_kubernetes(name: &str) -> bool {
    name.starts_with("PAYGATE_SERVICE_") || name.starts_with("PAYGATE_PORT")
}

fn nearest(name: &str) -> String {
    if let Some(variable) = name.strip_suffix("_FILE").and_then(Variable::find) {
        return variable.name.to_owned();
    }
    let meant_a_file = name.contains("FILE");
    let files =
        VARIABLES.iter().filter(|variable| meant_a_file && variable.file).map(Variable::name_file);
    let name: Vec<char> = name.chars().take(CHARS_MAX).collect();
    let names = VARIABLES.iter().map(|variable| variable.name.to_owned()).chain(files);
    names.min_by_key(|known| distance(&name, known)).unwrap_or_default()
}

/// A name without the characters that no name has, and not longer than [`CHARS_MAX`].
fn printable(name: &str) -> String {
    let ascii = |c: char| if c.is_ascii_graphic() { c } else { '?' };
    name.chars().take(CHARS_MAX).map(ascii).collect()
}

/// Longer than the name of every variable.
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
            let source = [(wrong.to_owned(), String::new())].into_iter();
            let unknown = unknown_names(&source.collect::<std::collections::BTreeMap<_, _>>());
            assert_eq!(unknown, [(wrong.to_owned(), meant.to_owned())]);
        }
    }
}
