//! A configuration as it takes effect, fit to be shown to anybody.

use std::fmt::Write as _;

use url::Url;

use super::reader::Source;
use super::table::{Preset, VARS, Var};
use super::{Config, Merchant, Mode};

/// One variable's value, as far as it may be shown.
#[derive(Clone)]
pub(super) struct Effective {
    name: &'static str,
    shown: String,
    source: String,
}

/// Every variable's effective value.
pub(super) fn effective(mode: Mode, sources: &[(&'static Var, Source)]) -> Vec<Effective> {
    let effective = |var: &'static Var| {
        let set = sources.iter().find(|(it, _)| it.name == var.name);
        let (shown, source) = match (set.map(|(_, source)| source), var.preset) {
            (Some(source), _) => (shown(var, source), place(source)),
            (None, Preset::None) => (String::new(), "not set".to_owned()),
            (None, Preset::Value(value)) => (value.to_owned(), "default".to_owned()),
            (None, Preset::Depends { live, .. }) if mode == Mode::Live => {
                (String::new(), format!("not set: {live}"))
            }
            (None, Preset::Depends { mock, .. }) => (mock.to_owned(), "default".to_owned()),
        };
        Effective { name: var.name, shown, source }
    };
    VARS.iter().map(effective).collect()
}

/// The whole, one variable a line.
pub(super) fn text(config: &Config) -> String {
    let mut text = String::new();
    for Effective { name, shown, source } in &config.effective {
        let assignment = format!("{name}={shown}");
        let _ = writeln!(text, "{assignment:<64} ({source})");
    }
    for merchant in &config.merchants {
        let _ = writeln!(text, "merchant {}: {}", merchant.pid, pay_types(config.mode, merchant));
    }
    for warning in &config.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    text
}

fn pay_types(mode: Mode, merchant: &Merchant) -> String {
    if mode == Mode::Mock {
        return "every pay type, with the mock's keys".to_owned();
    }
    let names: Vec<&str> = merchant.pay_types().into_iter().map(|it| it.name()).collect();
    if names.is_empty() { "no pay type".to_owned() } else { names.join(", ") }
}

fn place(source: &Source) -> String {
    match source {
        Source::Environment(_) => "environment".to_owned(),
        Source::File(path, _) => format!("file {}", path.display()),
    }
}

fn shown(var: &Var, source: &Source) -> String {
    if var.secret {
        return HIDDEN.to_owned();
    }
    let bytes = source.bytes();
    match std::str::from_utf8(bytes).map(str::trim) {
        Ok(text) if text.contains("://") => without_secrets(text),
        Ok(text) if text.len() <= 100 && !text.contains(char::is_control) => text.to_owned(),
        _ => format!("({} bytes)", bytes.len()),
    }
}

/// A URL's password, a user name without one, and a query may be secrets.
fn without_secrets(text: &str) -> String {
    if !text.contains(['@', '?']) {
        return text.to_owned();
    }
    let Ok(mut url) = Url::parse(text) else { return HIDDEN.to_owned() };
    let hidden = match (url.username().is_empty(), url.password()) {
        (_, Some(_)) => url.set_password(Some(HIDDEN)),
        (false, None) => url.set_username(HIDDEN),
        (true, None) => Ok(()),
    };
    if hidden.is_err() {
        return HIDDEN.to_owned();
    }
    if url.query().is_some() {
        url.set_query(Some(HIDDEN));
    }
    url.as_str().replace("%7Btype%7D", "{type}")
}

const HIDDEN: &str = "***";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_shown_without_what_may_be_secret() {
        for (url, shown) in [
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
            ("postgres://app:hunter2@db/pay", "postgres://app:***@db/pay"),
            ("https://hunter2@a.b/{type}", "https://***@a.b/{type}"),
            ("https://a.b/x?key=hunter2", "https://a.b/x?***"),
            ("postgres://app:hunter2@[db/pay", "***"),
        ] {
            assert_eq!(without_secrets(url), shown);
        }
    }
}
