//! Reads variables by the table, and collects what is wrong and what is to be said.

use std::path::PathBuf;

use super::file;
use super::problem::{Advice, Problem, Problems, Wrong};
use super::source::{PREFIX, Strings};
use super::suggest;
use super::table::{Preset, VARS, Var};

/// Reads the variables of one configuration; nothing stops at the first problem.
pub(super) struct Reader<'a> {
    strings: &'a dyn Strings,
    problems: Vec<Problem>,
    warnings: Vec<String>,
    sources: Vec<(&'static Var, Source)>,
}

/// Where a value is from, with the value.
pub(super) enum Source {
    /// The variable itself.
    Environment(String),
    /// The file that `NAME_FILE` names.
    File(PathBuf, Vec<u8>),
}

impl Source {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Source::Environment(text) => text.as_bytes(),
            Source::File(_, bytes) => bytes,
        }
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(strings: &'a dyn Strings) -> Reader<'a> {
        Reader { strings, problems: Vec::new(), warnings: Vec::new(), sources: Vec::new() }
    }

    /// Whether the variable, or its file, is set. An empty text counts as not set, as it does for
    /// the tools that pass environments on.
    pub(super) fn given(&self, name: &str) -> bool {
        let set = |name: &str| self.strings.get(name).is_some_and(|it| !it.trim().is_empty());
        set(name) || (var(name).file && set(&var(name).name_file()))
    }

    /// Whether one of these variables is set.
    pub(super) fn any_given(&self, which: impl Fn(&Var) -> bool) -> bool {
        VARS.iter().any(|var| which(var) && self.given(var.name))
    }

    /// Whether a variable that was read starts so.
    pub(super) fn starts_with(&self, name: &str, start: &str) -> bool {
        let read = self.sources.iter().find(|(var, _)| var.name == name);
        read.is_some_and(|(_, source)| source.bytes().trim_ascii().starts_with(start.as_bytes()))
    }

    /// Whether something is wrong with one of these variables.
    pub(super) fn complained_of(&self, which: impl Fn(&str) -> bool) -> bool {
        self.problems.iter().any(|it| which(&it.variable))
    }

    /// The value as bytes: what a file holds is not touched (it may be DER).
    pub(super) fn bytes(&mut self, name: &'static str) -> Option<Vec<u8>> {
        let source = self.source(var(name))?;
        let bytes = source.bytes().to_vec();
        self.sources.push((var(name), source));
        Some(bytes)
    }

    /// The value as one line of text, without the white space around it.
    pub(super) fn text(&mut self, name: &'static str) -> Option<String> {
        let Ok(text) = String::from_utf8(self.bytes(name)?) else {
            self.wrong(name, "is not UTF-8");
            return None;
        };
        let text = text.trim_start_matches('\u{feff}').trim();
        if text.contains(char::is_control) {
            self.wrong(name, "holds a line break or another control character");
            return None;
        }
        Some(text.to_owned())
    }

    /// The value of a variable that may be absent.
    pub(super) fn optional<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        let text = self.text(name)?;
        parse(&text).map_err(|wrong| self.wrong(name, wrong)).ok()
    }

    /// The value of a variable that has a default, which also stands in for an ill value, so that
    /// the rules between variables can still be judged.
    pub(super) fn value<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, Wrong>,
    ) -> T {
        if let Some(value) = self.optional(name, &parse) {
            return value;
        }
        let Preset::Value(default) = var(name).preset else {
            unreachable!("{name} is read as a variable with a default")
        };
        parse(default).expect("the defaults of the table are valid")
    }

    /// Demands a variable; one that was given and is ill was complained about already.
    pub(super) fn require(&mut self, name: &'static str, wrong: impl Into<Wrong>) {
        if !self.given(name) {
            self.wrong(name, wrong);
        }
    }

    /// Records what is wrong with a variable.
    pub(super) fn wrong(&mut self, name: &str, wrong: impl Into<Wrong>) {
        self.problems.push(Problem::with(var(name), wrong.into()));
    }

    /// Records what the operator should know.
    pub(super) fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }

    /// Complains about every `PAYGATE_*` name that is not in the table, and about texts that are
    /// empty.
    pub(super) fn check_names(&mut self) {
        for (name, nearest) in suggest::unknown(self.strings) {
            let wrong = format!("is no variable of ours; did you mean {nearest}?");
            self.problems.push(Problem { variable: name, wrong, accepted: None });
        }
        for var in VARS {
            for name in [var.name.to_owned(), var.name_file()] {
                if self.strings.get(&name).is_some_and(|it| it.trim().is_empty()) {
                    self.warn(format!("{name} is empty and counts as not set"));
                }
            }
        }
    }

    /// What was read, if nothing was wrong.
    pub(super) fn finish(mut self) -> Result<Findings, Problems> {
        if self.problems.is_empty() {
            return Ok(Findings { warnings: self.warnings, sources: self.sources });
        }
        let place = |it: &Problem| VARS.iter().position(|var| var.name == it.variable);
        self.problems.sort_by_key(place);
        let nothing = !self.strings.names().iter().any(|name| name.starts_with(PREFIX));
        let advice = if nothing { Advice::WaysToGoOn } else { Advice::Help };
        Err(Problems::new(self.problems, advice))
    }

    fn source(&mut self, var: &'static Var) -> Option<Source> {
        let text = self.set_text(var.name);
        let path = var.file.then(|| self.set_text(&var.name_file())).flatten();
        match (text, path) {
            (None, None) => None,
            (Some(_), Some(_)) => {
                self.wrong(var.name, format!("is set twice: also {} is set", var.name_file()));
                None
            }
            (Some(text), None) if text.contains('\u{fffd}') => {
                self.wrong(var.name, "is not UTF-8");
                None
            }
            (Some(text), None) => Some(Source::Environment(text)),
            (None, Some(path)) => self.file(var, PathBuf::from(path)),
        }
    }

    fn file(&mut self, var: &'static Var, path: PathBuf) -> Option<Source> {
        match file::read(&path, FILE_BYTES_MAX) {
            Err(wrong) => {
                self.wrong(var.name, format!("the file in {} {wrong}", var.name_file()));
                None
            }
            Ok(contents) => {
                if contents.readable_by_others && (var.secret || var.name == "PAYGATE_STORE") {
                    let name = var.name_file();
                    self.warn(format!("every user of this machine can read the file in {name}"));
                }
                Some(Source::File(path, contents.bytes))
            }
        }
    }

    fn set_text(&self, name: &str) -> Option<String> {
        self.strings.get(name).filter(|text| !text.trim().is_empty())
    }
}

/// What was found on the way to a valid configuration.
pub(super) struct Findings {
    /// What the operator should know.
    pub(super) warnings: Vec<String>,
    /// Where the values of the variables that were set are from.
    pub(super) sources: Vec<(&'static Var, Source)>,
}

fn var(name: &str) -> &'static Var {
    Var::find(name).expect("every variable that is read stands in the table")
}

/// More than any key, certificate or secret has.
const FILE_BYTES_MAX: u64 = 1 << 20;
