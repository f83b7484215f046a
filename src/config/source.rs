//! Where configuration texts come from: the process's environment, or a map in tests.

use std::collections::BTreeMap;
use std::ffi::OsString;

/// Named texts, as an environment holds them.
pub trait Strings {
    /// The text under `name`. What is not UTF-8 holds U+FFFD in place of the ill bytes.
    fn get(&self, name: &str) -> Option<String>;

    /// Every name.
    fn names(&self) -> Vec<String>;
}

impl Strings for BTreeMap<String, String> {
    fn get(&self, name: &str) -> Option<String> {
        BTreeMap::get(self, name).cloned()
    }

    fn names(&self) -> Vec<String> {
        self.keys().cloned().collect()
    }
}

/// The process's `PAYGATE_*` variables: the only place that reads the environment. Everything
/// after it takes [`Strings`].
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn environment() -> BTreeMap<String, String> {
    let text = |os: OsString| os.to_string_lossy().into_owned();
    std::env::vars_os()
        .map(|(name, value)| (text(name), value))
        .filter(|(name, _)| name.starts_with(PREFIX))
        .map(|(name, value)| (name, text(value)))
        .collect()
}

/// What every name of ours starts with.
pub(super) const PREFIX: &str = "PAYGATE_";
