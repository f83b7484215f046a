//! Secrets, bearer tokens and random texts.

use std::fmt;

use aws_lc_rs::{constant_time, rand};
use http::HeaderMap;
use http::header::AUTHORIZATION;

/// A text that is never printed: it has no `Display` and no `Serialize`, and `Debug` shows `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A secret `text`.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text, for the code that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether `other` is the same text, compared in constant time.
    #[must_use]
    pub fn matches(&self, other: &[u8]) -> bool {
        constant_time::verify_slices_are_equal(self.0.as_bytes(), other).is_ok()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The bearer token of a request that has exactly one `Authorization` header (RFC 6750,
/// section 2.1).
pub(crate) fn bearer_token(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let (scheme, token) = value.as_bytes().split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

/// 32 random characters of `[0-9a-f]`: a nonce for a provider, a request id.
///
/// # Panics
///
/// When the operating system provides no randomness.
#[must_use]
pub fn random_text() -> String {
    let mut bytes = [0_u8; 16];
    rand::fill(&mut bytes).expect("the operating system provides random bytes");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "***");
        assert!(Secret::new("hunter2").matches(b"hunter2"));
        assert!(!Secret::new("hunter2").matches(b"hunter"));
    }

    #[test]
    fn random_texts_differ() {
        assert_ne!(random_text(), random_text());
        assert_eq!(random_text().len(), 32);
    }
}
