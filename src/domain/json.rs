//! JSON as it was written.
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// JSON text that was scanned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RawJson(Arc<str>);

impl RawJson {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// Canonical bytes.
    #[must_use]
    pub fn canonical(&self) -> Vec<u8> {
        self.0.as_bytes().to_vec()
    }
    /// Interim constructor (to be replaced by the scanner).
    #[must_use]
    pub fn from_scanned(text: &str) -> RawJson {
        RawJson(text.into())
    }
}
