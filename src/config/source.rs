//! Where the configuration's texts come from: the process's environment, or a map in tests.

use std::collections::BTreeMap;
use std::ffi::OsString;

/// Named texts, as an environment holds them.
pub trait VariableSource {
    /// The text under `name`. U+FFFD stands in place of bytes that are not UTF-8.
    fn get(&self, name: &str) -> Option<String>;

    /// Every name.
    fn names(&self) -> Vec<String>;
}

impl VariableSource for BTreeMap<String, String> {
    fn get(&self, name: &str) -> Option<String> {
        BTreeMap::get(self, name).cloned()
    }

    fn names(&self) -> Vec<String> {
        self.keys().cloned().collect()
    }
}

/// Reads the process's `PAYGATE_*` variables. No other function reads the environment: everything
/// after it takes a [`VariableSource`].
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

/// The variables by which a process gets sockets from the program that started it:
/// sd_listen_fds(3).
#[cfg(feature = "sidecar")]
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub(crate) fn inherited_sockets() -> BTreeMap<&'static str, String> {
    ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"]
        .into_iter()
        .filter_map(|name| Some((name, std::env::var_os(name)?.to_string_lossy().into_owned())))
        .collect()
}

/// What the name of every variable of paygate starts with.
pub(super) const PREFIX: &str = "PAYGATE_";
