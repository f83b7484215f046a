//! A scanned JSON value: its text, its members, its canonical text.

use std::borrow::Cow;
use std::ops::Range;
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

    /// Builds a value of another type from the innermost parts out. What is more than `depth` deep,
    /// where this value is 1 deep, is left out: an array or object at that depth is empty. One pass
    /// over the text, however deep it nests; recurses at most `depth` and [`scanner::DEPTH_MAX`]
    /// deep.
    pub fn build<T>(self, depth: usize, make: &impl Fn(JsonPart<'a, T>) -> T) -> T {
        let mut rest = self.0;
        take_value(&mut rest, depth, make)
    }

    /// One spelling for every way to write the same value: no white space, keys sorted, strings
    /// with the fewest escapes, numbers by their exact decimal value (`1`, `1.0` and `1e0` are
    /// equal, and so are `-0` and `0`). Paygate compares it, and never sends it.
    #[must_use]
    pub fn canonical(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.0.len());
        let mut rest = self.0;
        write_canonical(&mut rest, &mut out);
        out
    }
}

/// The values of an array, in order.
#[derive(Clone, Debug)]
pub struct Items<'a>(&'a str);

impl<'a> Iterator for Items<'a> {
    type Item = Json<'a>;

    fn next(&mut self) -> Option<Json<'a>> {
        let rest = past_between(self.0);
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
fn take_value<'a, T>(rest: &mut &'a str, depth: usize, make: &impl Fn(JsonPart<'a, T>) -> T) -> T {
    let within = depth.saturating_sub(1);
    match rest.as_bytes().first() {
        Some(b'[') => {
            let mut values = Vec::new();
            if within == 0 {
                take_text(rest);
                return make(JsonPart::Array(values));
            }
            *rest = inside(rest);
            while is_within(rest, ']') {
                values.push(take_value(rest, within, make));
            }
            make(JsonPart::Array(values))
        }
        Some(b'{') => {
            let mut members = Vec::new();
            if within == 0 {
                take_text(rest);
                return make(JsonPart::Object(members));
            }
            *rest = inside(rest);
            while is_within(rest, '}') {
                let key = take_key(rest);
                members.push((key, take_value(rest, within, make)));
            }
            make(JsonPart::Object(members))
        }
        _ => make(JsonPart::Scalar(Json(take_text(rest)))),
    }
}

/// Takes the key at the start of `rest`, up to its value.
fn take_key<'a>(rest: &mut &'a str) -> Cow<'a, str> {
    let key = scanner::unescape(inner(take_text(rest)));
    *rest = past_between(rest);
    key
}

/// The text after the bracket at the start.
fn inside(text: &str) -> &str {
    text.get(1..).unwrap_or_default()
}

/// Goes on to the next value of an array or object, or past its end.
fn is_within(rest: &mut &str, end: char) -> bool {
    *rest = past_between(rest);
    match rest.strip_prefix(end) {
        Some(after) => {
            *rest = after;
            false
        }
        None => !rest.is_empty(),
    }
}

/// Takes the text of the value at the start of `rest`.
fn take_text<'a>(rest: &mut &'a str) -> &'a str {
    let (text, after) = rest.split_at_checked(scanner::value_len(rest)).unwrap_or((rest, ""));
    *rest = after;
    text
}

/// Skips what stands between the values of scanned text.
fn past_between(text: &str) -> &str {
    let is_between = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b',' | b':');
    let length = text.as_bytes().iter().take_while(|byte| is_between(byte)).count();
    text.get(length..).unwrap_or_default()
}

/// A number that is written as a short whole one, as most are.
fn short_whole(token: &str) -> Option<i64> {
    if is_short_whole(token) { token.parse().ok() } else { None }
}

fn is_short_whole(token: &str) -> bool {
    let digits = token.strip_prefix('-').unwrap_or(token);
    digits.len() <= 18 && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Writes a number as [`Decimal::write`] does: at once where it is short and whole.
fn write_number(token: &str, out: &mut Vec<u8>) {
    if !is_short_whole(token) {
        return Decimal::parse_token(token).write(out);
    }
    let token = token.as_bytes();
    let zeros = token.iter().rev().take_while(|digit| **digit == b'0').count();
    let digits = token.get(..token.len().saturating_sub(zeros)).unwrap_or_default();
    if digits.is_empty() || digits == b"-" {
        return out.push(b'0');
    }
    out.extend_from_slice(digits);
    out.push(b'e');
    match zeros {
        0 => out.push(b'0'),
        _ => out.extend_from_slice(zeros.to_string().as_bytes()),
    }
}

/// The text between the brackets or quotes.
fn inner(text: &str) -> &str {
    text.get(1..text.len().saturating_sub(1)).unwrap_or_default()
}

/// Writes the value at the start of `rest`, which is scanned text. One pass, however deep it nests;
/// recurses at most [`scanner::DEPTH_MAX`] deep.
fn write_canonical(rest: &mut &str, out: &mut Vec<u8>) {
    match rest.as_bytes().first() {
        Some(b'[') => {
            *rest = inside(rest);
            out.push(b'[');
            let mut comma: &[u8] = b"";
            while is_within(rest, ']') {
                out.extend_from_slice(comma);
                write_canonical(rest, out);
                comma = b",";
            }
            out.push(b']');
        }
        Some(b'{') => write_object(rest, out),
        Some(b'"') => write_string(&scanner::unescape(inner(take_text(rest))), out),
        Some(b't' | b'f' | b'n') => out.extend_from_slice(take_text(rest).as_bytes()),
        _ => write_number(take_text(rest), out),
    }
}

/// Writes an object: its members as they come, and in their order where that is another.
fn write_object(rest: &mut &str, out: &mut Vec<u8>) {
    *rest = inside(rest);
    out.push(b'{');
    let start = out.len();
    let mut members: Vec<(Cow<'_, str>, Range<usize>)> = Vec::new();
    while is_within(rest, '}') {
        if !members.is_empty() {
            out.push(b',');
        }
        let from = out.len();
        let key = take_key(rest);
        write_string(&key, out);
        out.push(b':');
        write_canonical(rest, out);
        members.push((key, from.saturating_sub(start)..out.len().saturating_sub(start)));
    }
    if !members.is_sorted_by(|(a, _), (b, _)| a <= b) {
        members.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let written = out.split_off(start);
        for (_, place) in members {
            if out.len() > start {
                out.push(b',');
            }
            out.extend_from_slice(written.get(place).unwrap_or_default());
        }
    }
    out.push(b'}');
}

const HEX: &[u8; 16] = b"0123456789abcdef";

fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    let mut rest = text.as_bytes();
    while let Some((plain, from)) =
        rest.iter().position(is_special).and_then(|at| rest.split_at_checked(at))
    {
        out.extend_from_slice(plain);
        let Some((special, after)) = from.split_first() else { break };
        match special {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *special]),
            _ => {
                out.extend_from_slice(if *special < 0x10 { b"\\u000" } else { b"\\u001" });
                out.extend(HEX.get(usize::from(special & 0xF)));
            }
        }
        rest = after;
    }
    out.extend_from_slice(rest);
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
