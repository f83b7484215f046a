//! The scanner: one pass over the bytes, no recursion, memory bounded by the text's length.

use std::borrow::Cow;

use super::unreadable::Unreadable;

/// How deep arrays and objects may nest; the outermost is 1.
pub const DEPTH_MAX: usize = 32;

/// The text of the one JSON value in `bytes`, without the white space around it.
pub(super) fn scanned(bytes: &[u8]) -> Result<&str, Unreadable> {
    let text = std::str::from_utf8(bytes).map_err(|_| Unreadable::NotUtf8)?;
    Scanner { text, at: 0, open: Vec::new(), keys: Vec::new() }.run()?;
    Ok(text.trim_matches([' ', '\t', '\r', '\n']))
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    open: Vec<Open>,
    /// The keys of every open object, the innermost one's last.
    keys: Vec<Cow<'a, str>>,
}

#[derive(Clone, Copy)]
enum Open {
    Array,
    Object { keys_from: usize },
}

impl<'a> Scanner<'a> {
    fn run(&mut self) -> Result<(), Unreadable> {
        self.skip_space();
        loop {
            if self.start_value()? {
                continue;
            }
            if !self.end_value()? {
                return Ok(());
            }
        }
    }

    /// Reads a scalar or an empty array or object; true when it opened one that is not empty, so
    /// that another value starts here.
    fn start_value(&mut self) -> Result<bool, Unreadable> {
        match self.peek() {
            Some(b'{') => {
                self.push(Open::Object { keys_from: self.keys.len() })?;
                if self.peek() != Some(b'}') {
                    self.key()?;
                    return Ok(true);
                }
            }
            Some(b'[') => {
                self.push(Open::Array)?;
                return Ok(self.peek() != Some(b']'));
            }
            Some(b'"') => _ = self.string()?,
            Some(b't') => self.word("true")?,
            Some(b'f') => self.word("false")?,
            Some(b'n') => self.word("null")?,
            _ => self.number()?,
        }
        Ok(false)
    }

    /// Closes the arrays and objects that end here; true when another value follows, false at the
    /// end of the text.
    fn end_value(&mut self) -> Result<bool, Unreadable> {
        loop {
            self.skip_space();
            match (self.open.last().copied(), self.peek()) {
                (None, None) => return Ok(false),
                (Some(Open::Array), Some(b']')) => _ = self.open.pop(),
                (Some(Open::Object { keys_from }), Some(b'}')) => self.close_object(keys_from)?,
                (Some(Open::Array), Some(b',')) => {
                    self.step();
                    self.skip_space();
                    return Ok(true);
                }
                (Some(Open::Object { .. }), Some(b',')) => {
                    self.step();
                    self.skip_space();
                    self.key()?;
                    return Ok(true);
                }
                _ => return Err(Unreadable::Syntax),
            }
            self.step();
        }
    }

    fn push(&mut self, open: Open) -> Result<(), Unreadable> {
        if self.open.len() >= DEPTH_MAX {
            return Err(Unreadable::TooDeep);
        }
        self.open.push(open);
        self.step();
        self.skip_space();
        Ok(())
    }

    /// Sorting finds equal neighbours in n log n, whatever keys a client sends.
    fn close_object(&mut self, keys_from: usize) -> Result<(), Unreadable> {
        let keys = self.keys.get_mut(keys_from..).unwrap_or_default();
        keys.sort_unstable();
        if keys.windows(2).any(|pair| pair.first() == pair.last()) {
            return Err(Unreadable::DuplicateKey);
        }
        self.keys.truncate(keys_from);
        self.open.pop();
        Ok(())
    }

    fn key(&mut self) -> Result<(), Unreadable> {
        if self.peek() != Some(b'"') {
            return Err(Unreadable::Syntax);
        }
        let key = unescape(self.string()?);
        if key.starts_with("$serde_json::private::") {
            return Err(Unreadable::ReservedKey);
        }
        self.keys.push(key);
        self.skip_space();
        if self.peek() != Some(b':') {
            return Err(Unreadable::Syntax);
        }
        self.step();
        self.skip_space();
        Ok(())
    }

    /// The text between the quotes, escapes included.
    fn string(&mut self) -> Result<&'a str, Unreadable> {
        self.step();
        let from = self.at;
        loop {
            self.skip(|byte| !matches!(byte, b'"' | b'\\' | 0..0x20));
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => self.escape()?,
                _ => return Err(Unreadable::Syntax),
            }
        }
        let inside = self.text.get(from..self.at).unwrap_or_default();
        self.step();
        Ok(inside)
    }

    fn escape(&mut self) -> Result<(), Unreadable> {
        self.step();
        match self.next() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(()),
            Some(b'u') => match self.unit()? {
                0xD800..0xDC00 => {
                    let low = self.next() == Some(b'\\')
                        && self.next() == Some(b'u')
                        && (0xDC00..0xE000).contains(&self.unit()?);
                    low.then_some(()).ok_or(Unreadable::Syntax)
                }
                0xDC00..0xE000 => Err(Unreadable::Syntax),
                _ => Ok(()),
            },
            _ => Err(Unreadable::Syntax),
        }
    }

    /// The four hexadecimal digits of `\uHHHH`.
    fn unit(&mut self) -> Result<u16, Unreadable> {
        let end = self.at.saturating_add(4);
        let digits = self.text.as_bytes().get(self.at..end).ok_or(Unreadable::Syntax)?;
        self.at = end;
        hex(digits).ok_or(Unreadable::Syntax)
    }

    fn word(&mut self, word: &str) -> Result<(), Unreadable> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        if !rest.starts_with(word.as_bytes()) {
            return Err(Unreadable::Syntax);
        }
        self.at = self.at.saturating_add(word.len());
        Ok(())
    }

    /// `-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?`
    fn number(&mut self) -> Result<(), Unreadable> {
        if self.peek() == Some(b'-') {
            self.step();
        }
        match self.peek() {
            Some(b'0') => self.step(),
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.step();
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.step();
            if let Some(b'+' | b'-') = self.peek() {
                self.step();
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Unreadable> {
        let from = self.at;
        self.skip(|byte| byte.is_ascii_digit());
        (self.at > from).then_some(()).ok_or(Unreadable::Syntax)
    }

    fn skip_space(&mut self) {
        self.skip(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
    }

    /// Goes past the bytes that are such.
    fn skip(&mut self, is_such: impl Fn(&u8) -> bool) {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let length = rest.iter().take_while(|byte| is_such(byte)).count();
        #[cfg(test)]
        visits::add(length.saturating_add(1));
        self.at = self.at.saturating_add(length);
    }

    fn peek(&self) -> Option<u8> {
        #[cfg(test)]
        visits::add(1);
        self.text.as_bytes().get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek();
        self.step();
        byte
    }

    fn step(&mut self) {
        self.at = self.at.saturating_add(1);
    }
}

fn hex(digits: &[u8]) -> Option<u16> {
    let mut unit = 0_u16;
    for digit in digits {
        let value = char::from(*digit).to_digit(16).and_then(|digit| u16::try_from(digit).ok())?;
        unit = (unit << 4) | value;
    }
    Some(unit)
}

/// The text between a scanned string's quotes, with its escapes undone.
pub(super) fn unescape(inside: &str) -> Cow<'_, str> {
    let Some(first) = inside.find('\\') else { return Cow::Borrowed(inside) };
    let (plain, mut rest) = inside.split_at(first);
    let mut text = plain.to_owned();
    while let Some((before, escape)) = rest.split_once('\\') {
        text.push_str(before);
        let (undone, after) = undo(escape);
        text.push(undone);
        rest = after;
    }
    text.push_str(rest);
    Cow::Owned(text)
}

/// One escape without its backslash, and what follows it.
fn undo(escape: &str) -> (char, &str) {
    let mut chars = escape.chars();
    let undone = match chars.next().unwrap_or('\\') {
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => return undo_unicode(chars.as_str()),
        itself => itself,
    };
    (undone, chars.as_str())
}

fn undo_unicode(digits: &str) -> (char, &str) {
    let (high, rest) = digits.split_at_checked(4).unwrap_or((digits, ""));
    let high = hex(high.as_bytes()).unwrap_or_default();
    if !(0xD800..0xDC00).contains(&high) {
        return (char::from_u32(high.into()).unwrap_or('\u{fffd}'), rest);
    }
    let low = rest.get(2..6).and_then(|digits| hex(digits.as_bytes())).unwrap_or_default();
    let pair = char::decode_utf16([high, low]).next().and_then(Result::ok);
    (pair.unwrap_or('\u{fffd}'), rest.get(6..).unwrap_or_default())
}

/// The length, in bytes, of the value at the start of the scanned `text`.
pub(super) fn value_len(text: &str) -> usize {
    let length = end_of_value(text);
    #[cfg(test)]
    visits::add(length);
    length
}

fn end_of_value(text: &str) -> usize {
    let bytes = text.as_bytes();
    let ends_scalar =
        |byte: &u8| matches!(byte, b',' | b':' | b']' | b'}' | b' ' | b'\t' | b'\r' | b'\n');
    match bytes.first() {
        Some(b'"') => end_of_string(bytes, 0),
        Some(b'{' | b'[') => end_of_nested(bytes),
        _ => bytes.iter().position(ends_scalar).unwrap_or(bytes.len()),
    }
}

/// Where the array or object ends that starts the text.
fn end_of_nested(bytes: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0_usize;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at = end_of_string(bytes, at);
                continue;
            }
            b'{' | b'[' => depth = depth.saturating_add(1),
            b'}' | b']' if depth <= 1 => return at.saturating_add(1),
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at = at.saturating_add(1);
    }
    bytes.len()
}

/// Where the string ends whose opening quote is at `start`.
fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start.saturating_add(1);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at.saturating_add(1),
            b'\\' => at = at.saturating_add(2),
            _ => at = at.saturating_add(1),
        }
    }
    bytes.len()
}

/// How many bytes this thread has visited: a test bounds the work of reading a text by them.
#[cfg(test)]
pub(crate) mod visits {
    use std::cell::Cell;

    thread_local! {
        static COUNT: Cell<usize> = const { Cell::new(0) };
    }

    pub(super) fn add(bytes: usize) {
        COUNT.with(|count| count.set(count.get().saturating_add(bytes)));
    }

    /// The bytes since the last call.
    pub(crate) fn take() -> usize {
        COUNT.take()
    }
}
