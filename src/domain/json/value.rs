//! A scanned JSON value: its text, its members, its canonical text.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::number::{Decimal, Whole};
use super::scanner;
use super::unreadable::Unreadable;

/// Checks that `bytes` are one JSON value (RFC 8259) that can be read in one way only.
///
/// # Errors
///
/// [`Unreadable`] names the first fault, without its place or its text.
pub fn scan(bytes: &[u8]) -> Result<Json<'_>, Unreadable> {
    scanner::scanned(bytes).map(Json)
}

/// One JSON value of a scanned text, without the white space around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Json<'a>(&'a str);

/// The type of a value, and its content one level deep.
#[derive(Clone, Debug)]
pub enum Shape<'a> {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A number: see [`Json::whole`].
    Number,
    /// A string, escapes undone.
    String(Cow<'a, str>),
    /// An array.
    Array(Items<'a>),
    /// An object.
    Object(Members<'a>),
}

impl<'a> Json<'a> {
    /// The text as it was written.
    #[must_use]
    pub fn as_str(self) -> &'a str {
        self.0
    }

    /// The type of the value, and its content one level deep.
    #[must_use]
    pub fn shape(self) -> Shape<'a> {
        match self.0.as_bytes().first() {
            Some(b'{') => Shape::Object(Members(Items(inner(self.0)))),
            Some(b'[') => Shape::Array(Items(inner(self.0))),
            Some(b'"') => Shape::String(scanner::unescape(inner(self.0))),
            Some(b't') => Shape::Bool(true),
            Some(b'f') => Shape::Bool(false),
            Some(b'n') | None => Shape::Null,
            Some(_) => Shape::Number,
        }
    }

    /// The member called `key`, if this is an object that has it.
    #[must_use]
    pub fn member(self, key: &str) -> Option<Json<'a>> {
        match self.shape() {
            Shape::Object(mut members) => {
                members.find(|(name, _)| name == key).map(|(_, value)| value)
            }
            Shape::Null | Shape::Bool(_) | Shape::Number | Shape::String(_) | Shape::Array(_) => {
                None
            }
        }
    }

    /// The whole number by its exact decimal value; `None` when the value is no number.
    #[must_use]
    pub fn whole(self) -> Option<Whole> {
        let is_number = matches!(self.0.as_bytes().first(), Some(b'-' | b'0'..=b'9'));
        is_number.then(|| match short_whole(self.0) {
            Some(whole) => Whole::Exact(whole),
            None => Decimal::parse_token(self.0).whole(),
        })
    }

    /// Builds a value of another type from the innermost parts out. One pass over the text, however
    /// deep it nests; recurses at most [`scanner::DEPTH_MAX`] deep.
    pub fn build<T>(self, make: &impl Fn(JsonPart<'a, T>) -> T) -> T {
        let mut rest = self.0;
        take_value(&mut rest, make)
    }

    /// One spelling for every way to write the same value: no white space, keys sorted, strings
    /// with the fewest escapes, numbers by their exact decimal value (`1`, `1.0` and `1e0` are
    /// equal, and so are `-0` and `0`). Paygate compares it, and never sends it.
    #[must_use]
    pub fn canonical(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.0.len());
        write_canonical(self, &mut out);
        out
    }
}

/// The values of an array, in order.
#[derive(Clone, Debug)]
pub struct Items<'a>(&'a str);

impl<'a> Iterator for Items<'a> {
    type Item = Json<'a>;

    fn next(&mut self) -> Option<Json<'a>> {
        let rest = self.0.trim_start_matches(BETWEEN);
        let (value, rest) = rest.split_at_checked(scanner::value_len(rest))?;
        self.0 = rest;
        (!value.is_empty()).then_some(Json(value))
    }
}

/// The members of an object, in the order in which they were written.
#[derive(Clone, Debug)]
pub struct Members<'a>(Items<'a>);

impl<'a> Iterator for Members<'a> {
    type Item = (Cow<'a, str>, Json<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let key = self.0.next()?;
        Some((scanner::unescape(inner(key.0)), self.0.next()?))
    }
}

/// A value of which every value inside is built.
#[derive(Debug)]
pub enum JsonPart<'a, T> {
    /// `null`, a boolean, a number or a string.
    Scalar(Json<'a>),
    /// An array's values.
    Array(Vec<T>),
    /// An object's members.
    Object(Vec<(Cow<'a, str>, T)>),
}

/// Takes the value at the start of `rest`, which is scanned text.
fn take_value<'a, T>(rest: &mut &'a str, make: &impl Fn(JsonPart<'a, T>) -> T) -> T {
    match rest.as_bytes().first() {
        Some(b'[') => {
            *rest = inside(rest);
            let mut values = Vec::new();
            while is_within(rest, ']') {
                values.push(take_value(rest, make));
            }
            make(JsonPart::Array(values))
        }
        Some(b'{') => {
            *rest = inside(rest);
            let mut members = Vec::new();
            while is_within(rest, '}') {
                let key = scanner::unescape(inner(take_scalar(rest)));
                *rest = rest.trim_start_matches(BETWEEN);
                members.push((key, take_value(rest, make)));
            }
            make(JsonPart::Object(members))
        }
        _ => make(JsonPart::Scalar(Json(take_scalar(rest)))),
    }
}

/// The text after the bracket at the start.
fn inside(text: &str) -> &str {
    text.get(1..).unwrap_or_default()
}

/// Goes on to the next value of an array or object, or past its end.
fn is_within(rest: &mut &str, end: char) -> bool {
    *rest = rest.trim_start_matches(BETWEEN);
    match rest.strip_prefix(end) {
        Some(after) => {
            *rest = after;
            false
        }
        None => !rest.is_empty(),
    }
}

fn take_scalar<'a>(rest: &mut &'a str) -> &'a str {
    let (scalar, after) = rest.split_at_checked(scanner::value_len(rest)).unwrap_or((rest, ""));
    *rest = after;
    scalar
}

/// What stands between the values of scanned text.
const BETWEEN: [char; 6] = [' ', '\t', '\r', '\n', ',', ':'];

/// A number that is written as a short whole one, as most are.
fn short_whole(token: &str) -> Option<i64> {
    if is_short_whole(token) { token.parse().ok() } else { None }
}

fn is_short_whole(token: &str) -> bool {
    let digits = token.strip_prefix('-').unwrap_or(token);
    digits.len() <= 18 && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Writes a number as [`Decimal`] does: at once where it is short and whole.
fn write_number(token: &str, out: &mut Vec<u8>) {
    if !is_short_whole(token) {
        return out.extend_from_slice(Decimal::parse_token(token).to_string().as_bytes());
    }
    let digits = token.trim_end_matches('0');
    if digits.is_empty() || digits == "-" {
        return out.push(b'0');
    }
    out.extend_from_slice(digits.as_bytes());
    out.push(b'e');
    let zeros = token.len().saturating_sub(digits.len());
    out.extend_from_slice(zeros.to_string().as_bytes());
}

/// The text between the brackets or quotes.
fn inner(text: &str) -> &str {
    text.get(1..text.len().saturating_sub(1)).unwrap_or_default()
}

/// Recurses at most [`scanner::DEPTH_MAX`] deep: the text is scanned.
fn write_canonical(json: Json<'_>, out: &mut Vec<u8>) {
    match json.shape() {
        Shape::Null | Shape::Bool(_) => out.extend_from_slice(json.0.as_bytes()),
        Shape::Number => write_number(json.0, out),
        Shape::String(text) => write_string(&text, out),
        Shape::Array(items) => {
            out.push(b'[');
            for (n, item) in items.enumerate() {
                out.extend_from_slice(if n == 0 { b"" } else { b"," });
                write_canonical(item, out);
            }
            out.push(b']');
        }
        Shape::Object(members) => {
            let mut members: Vec<_> = members.collect();
            members.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
            out.push(b'{');
            for (n, (key, value)) in members.into_iter().enumerate() {
                out.extend_from_slice(if n == 0 { b"" } else { b"," });
                write_string(&key, out);
                out.push(b':');
                write_canonical(value, out);
            }
            out.push(b'}');
        }
    }
}

fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0..0x20 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

/// Scanned JSON text, as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RawJson(Arc<str>);

impl RawJson {
    /// Scans `text` and keeps it, without the white space around it.
    ///
    /// # Errors
    ///
    /// [`Unreadable`] when it is not JSON that can be read in one way only.
    pub fn parse(text: &str) -> Result<RawJson, Unreadable> {
        scan(text.as_bytes()).map(RawJson::from)
    }

    /// The text as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The value.
    #[must_use]
    pub fn json(&self) -> Json<'_> {
        Json(&self.0)
    }

    /// See [`Json::canonical`].
    #[must_use]
    pub fn canonical(&self) -> Vec<u8> {
        self.json().canonical()
    }
}

impl From<Json<'_>> for RawJson {
    fn from(json: Json<'_>) -> RawJson {
        RawJson(json.0.into())
    }
}

impl TryFrom<String> for RawJson {
    type Error = Unreadable;

    fn try_from(text: String) -> Result<RawJson, Unreadable> {
        RawJson::parse(&text)
    }
}

impl From<RawJson> for String {
    fn from(raw: RawJson) -> String {
        raw.0.as_ref().to_owned()
    }
}
