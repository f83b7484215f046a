//! Reads variables by the table, and collects problems and warnings.

use std::path::{Path, PathBuf};

use super::certificates::{CertificateEnd, ConfiguredCertificate};
use super::file;
use super::parse;
use super::problem::{HelpText, Problem, ProblemReason, Problems};
use super::source::{PREFIX, VariableSource};
use super::suggest;
use super::table::{DefaultValue, VARIABLES, Variable};

/// Reads the variables of one configuration; it goes on after a problem.
pub(super) struct Reader<'a> {
    source: &'a dyn VariableSource,
    problems: Vec<Problem>,
    warnings: Vec<String>,
    certificates: Vec<ConfiguredCertificate>,
    values: Vec<(&'static Variable, RawValue)>,
}

/// A value as it was set, and where.
pub(super) enum RawValue {
    /// The text of the variable itself.
    Environment(String),
    /// The bytes of the file that `NAME_FILE` names.
    File(PathBuf, Vec<u8>),
}

impl RawValue {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            RawValue::Environment(text) => text.as_bytes(),
            RawValue::File(_, bytes) => bytes,
        }
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a dyn VariableSource) -> Reader<'a> {
        Reader {
            source,
            problems: Vec::new(),
            warnings: Vec::new(),
            certificates: Vec::new(),
            values: Vec::new(),
        }
    }

    /// Whether the variable, or its file, is set. An empty text counts as not set: tools that pass
    /// environments on set variables to it.
    pub(super) fn is_set(&self, name: &str) -> bool {
        let variable = variable(name);
        let has_text = |name: &str| self.set_text(name).is_some();
        has_text(name) || (variable.file && has_text(&variable.name_file()))
    }

    /// Whether one of these variables is set.
    pub(super) fn is_any_set(&self, which: impl Fn(&Variable) -> bool) -> bool {
        VARIABLES.iter().any(|variable| which(variable) && self.is_set(variable.name))
    }

    /// Whether the value of a variable that was read starts with `start`.
    pub(super) fn starts_with(&self, name: &str, start: &str) -> bool {
        let read = self.values.iter().find(|(variable, _)| variable.name == name);
        read.is_some_and(|(_, value)| value.bytes().trim_ascii().starts_with(start.as_bytes()))
    }

    /// Every variable with a secret that stands in one before it, too, and that one. Two of a
    /// provider's may be one: it is the provider's choice.
    pub(super) fn repeated_secrets(&self) -> Vec<(&'static str, &'static str)> {
        let secrets: Vec<(&'static str, &[u8])> = self
            .values
            .iter()
            .filter(|(variable, _)| variable.secret)
            .flat_map(|(variable, value)| secrets_of(variable, value.bytes()))
            .filter(|(_, secret)| !secret.is_empty())
            .collect();
        let mut repeated = Vec::new();
        for (at, (name, secret)) in secrets.iter().enumerate() {
            let first = secrets.iter().take(at).find(|(earlier, same)| {
                same == secret && !(is_providers(earlier) && is_providers(name))
            });
            repeated.extend(first.map(|(first, _)| (*name, *first)));
        }
        repeated
    }

    /// Whether one of these variables has a problem.
    pub(super) fn has_problem(&self, which: impl Fn(&str) -> bool) -> bool {
        self.problems.iter().any(|problem| which(&problem.variable))
    }

    /// The value as bytes. The content of a file is not trimmed: it may be DER.
    pub(super) fn bytes(&mut self, name: &'static str) -> Option<Vec<u8>> {
        let value = self.raw_value(variable(name))?;
        let bytes = value.bytes().to_vec();
        self.values.push((variable(name), value));
        Some(bytes)
    }

    /// The value as one line of text, without the white space around it.
    pub(super) fn text(&mut self, name: &'static str) -> Option<String> {
        let bytes = self.bytes(name)?;
        let text = parse::utf8(&bytes).map_err(|reason| self.report(name, reason)).ok()?;
        let text = text.trim_start_matches('\u{feff}').trim();
        if text.contains(char::is_control) {
            self.report(name, "holds a line break or another control character");
            return None;
        }
        Some(text.to_owned())
    }

    /// The value of a variable that may be absent.
    pub(super) fn optional<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, ProblemReason>,
    ) -> Option<T> {
        let text = self.text(name)?;
        parse(&text).map_err(|reason| self.report(name, reason)).ok()
    }

    /// The value of a variable that has a default. The default also replaces an invalid value, so
    /// that the cross checks can still run.
    pub(super) fn value<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, ProblemReason>,
    ) -> T {
        if let Some(value) = self.optional(name, &parse) {
            return value;
        }
        let DefaultValue::Fixed(default) = variable(name).default else {
            unreachable!("{name} is read as a variable with a default")
        };
        parse(default).expect("the defaults of the table are valid")
    }

    /// Reports a variable that is not set. One that is set and invalid was reported when it was
    /// read.
    pub(super) fn require(&mut self, name: &'static str, reason: impl Into<ProblemReason>) {
        if !self.is_set(name) {
            self.report(name, reason);
        }
    }

    /// Adds a problem of a variable.
    pub(super) fn report(&mut self, name: &str, reason: impl Into<ProblemReason>) {
        self.problems.push(Problem::with(variable(name), reason.into()));
    }

    /// Adds a sentence for the operator.
    pub(super) fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }

    /// Adds a certificate that was read.
    pub(super) fn note_certificate(&mut self, place: String, end: CertificateEnd) {
        self.certificates.push(ConfiguredCertificate { place, end });
    }

    /// Reports every `PAYGATE_*` name that is not in the table, and warns of empty texts.
    pub(super) fn check_names(&mut self) {
        for (name, nearest) in suggest::unknown_names(self.source) {
            let reason = format!("is no variable of ours; did you mean {nearest}?");
            self.problems.push(Problem { variable: name, reason, accepted: None });
        }
        if let Some((name, meant)) = suggest::unlike_kubernetes(self.source) {
            self.warn(format!("{name} has no effect: set {meant}, as {}", example_of(meant)));
        }
        for variable in VARIABLES {
            for name in [variable.name.to_owned(), variable.name_file()] {
                if self.source.get(&name).is_some_and(|text| text.trim().is_empty()) {
                    self.warn(format!("{name} is empty and counts as not set"));
                }
            }
        }
    }

    /// The warnings and values, or all problems in the order of the table.
    pub(super) fn finish(mut self) -> Result<ReadResult, Problems> {
        if self.problems.is_empty() {
            let Reader { warnings, certificates, values, .. } = self;
            return Ok(ReadResult { warnings, certificates, values });
        }
        self.problems.sort_by_key(|problem| {
            VARIABLES.iter().position(|variable| variable.name == problem.variable)
        });
        let is_unconfigured = !self.source.names().iter().any(|name| name.starts_with(PREFIX));
        let help = if is_unconfigured { HelpText::GettingStarted } else { HelpText::Reference };
        Err(Problems::new(self.problems, help))
    }

    fn raw_value(&mut self, variable: &'static Variable) -> Option<RawValue> {
        let text = self.set_text(variable.name);
        let path = variable.file.then(|| self.set_text(&variable.name_file())).flatten();
        match (text, path) {
            (None, None) => None,
            (Some(_), Some(_)) => {
                let reason = format!("is set twice: also {} is set", variable.name_file());
                self.report(variable.name, reason);
                None
            }
            (Some(text), None) if text.contains('\u{fffd}') => {
                self.report(variable.name, "is not UTF-8");
                None
            }
            (Some(text), None) => Some(RawValue::Environment(text)),
            (None, Some(path)) => self.read_file(variable, PathBuf::from(path)),
        }
    }

    fn read_file(&mut self, variable: &'static Variable, path: PathBuf) -> Option<RawValue> {
        let name_file = variable.name_file();
        if holds_key(&path) {
            let reason = format!("{name_file} holds the text, not a path: set {}", variable.name);
            self.report(variable.name, reason);
            return None;
        }
        match file::read_file(&path, FILE_BYTES_MAX) {
            Err(reason) => {
                self.report(variable.name, format!("the file in {name_file} {reason}"));
                None
            }
            Ok(file) => {
                let is_secret = variable.secret || variable.name == "PAYGATE_STORE";
                if file.readable_by_others && is_secret {
                    self.warn(format!(
                        "every user of this machine can read the file in {name_file}"
                    ));
                }
                Some(RawValue::File(path, file.bytes))
            }
        }
    }

    fn set_text(&self, name: &str) -> Option<String> {
        self.source.get(name).filter(|text| !text.trim().is_empty())
    }
}

/// What a reader has read of a valid configuration.
pub(super) struct ReadResult {
    /// One sentence each, for the operator.
    pub(super) warnings: Vec<String>,
    /// In the order in which they were read.
    pub(super) certificates: Vec<ConfiguredCertificate>,
    /// The variables that are set.
    pub(super) values: Vec<(&'static Variable, RawValue)>,
}

/// Whether a path is the text of a key: PEM, or the base64 of DER, which no path is as long as.
fn holds_key(path: &Path) -> bool {
    let text = path.to_string_lossy();
    text.contains("-----BEGIN") || (text.starts_with("MII") && text.len() > 256)
}

fn is_providers(name: &str) -> bool {
    name.starts_with("PAYGATE_WXPAY_") || name.starts_with("PAYGATE_ALIPAY_")
}

/// The secrets in the value of `variable`: one, or several with commas between.
fn secrets_of<'v>(
    variable: &'static Variable,
    value: &'v [u8],
) -> impl Iterator<Item = (&'static str, &'v [u8])> {
    let has_list = variable.name == "PAYGATE_WEBHOOK_SECRET";
    let secrets = value.split(move |byte| has_list && *byte == b',');
    secrets.map(|secret| (variable.name, secret.trim_ascii()))
}

fn example_of(name: &str) -> String {
    variable(name).example_line()
}

fn variable(name: &str) -> &'static Variable {
    Variable::find(name).expect("every variable that is read stands in the table")
}

/// More than any key, certificate or secret has.
const FILE_BYTES_MAX: u64 = 1 << 20;
