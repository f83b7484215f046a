//! The error of a text that is no JSON, or that readers could read in two ways.

use std::fmt;

/// Why paygate does not accept a text as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unreadable {
    /// Bytes that are no UTF-8.
    NotUtf8,
    /// Not the grammar of RFC 8259, a byte order mark and lone surrogates included.
    Syntax,
    /// Arrays and objects nested deeper than [`DEPTH_MAX`](super::DEPTH_MAX).
    TooDeep,
    /// A key twice in one object, escapes undone.
    DuplicateKey,
    /// A key by which `serde_json` marks its own raw values and numbers: it would decode the key's
    /// value as JSON that paygate never scanned.
    ReservedKey,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unreadable::NotUtf8 => "not UTF-8",
            Unreadable::Syntax => "not JSON",
            Unreadable::TooDeep => "nested too deep",
            Unreadable::DuplicateKey => "a key stands twice in one object",
            Unreadable::ReservedKey => "a key is reserved",
        })
    }
}

impl std::error::Error for Unreadable {}
