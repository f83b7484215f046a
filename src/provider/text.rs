//! Texts on their way to a provider and back.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use serde::Serialize;

/// The most characters of a provider's error code that we repeat.
pub(crate) const CODE_CHARS_MAX: usize = 64;

/// The most characters of a provider's error message that we repeat.
pub(crate) const MESSAGE_CHARS_MAX: usize = 256;

/// The first `chars_max` characters of a provider's `text` that are fit for a log and a client: no
/// control characters.
pub(crate) fn printable_text(text: &str, chars_max: usize) -> String {
    text.chars().filter(|character| !character.is_control()).take(chars_max).collect()
}

/// Encodes everything but RFC 3986's unreserved characters, the space as `%20`: WeChat Pay's
/// signature is over exactly these bytes, and Alipay's SDK in an app reads `+` as itself.
pub(crate) fn percent_encoded(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, ALL_BUT_UNRESERVED)
}

const ALL_BUT_UNRESERVED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// `value` as JSON text.
pub(crate) fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("texts and integers are always JSON")
}
