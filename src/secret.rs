//! Secrets and random texts.

use std::fmt;

use aws_lc_rs::{constant_time, rand};

/// A text that is never printed: no `Display`, no `Serialize`, and `Debug` shows `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` secret.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text, for the one place that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether `other` is the same text, in a time that does not tell how much of it is.
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

/// 32 random characters of `[0-9a-f]`: a nonce for a provider, a request id.
///
/// # Panics
///
/// When the operating system has no randomness, on which nothing here can run.
#[must_use]
pub fn random_text() -> String {
    let mut bytes = [0_u8; 16];
    rand::fill(&mut bytes).expect("the operating system gives random bytes");
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
