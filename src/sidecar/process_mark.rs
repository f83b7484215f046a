//! The mark by which this process finds its own requests: an upstream that leads back to it would
//! otherwise use up every descriptor with one request.

use std::sync::Arc;

use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::secret::random_text;

/// The header with the marks of the paygate processes that forwarded a request.
pub(super) const MARK: HeaderName = HeaderName::from_static("x-paygate-via");

/// This process's mark. Another process's is legal: a sidecar may stand behind a sidecar.
#[derive(Clone, Debug)]
pub struct ProcessMark(Arc<str>);

impl ProcessMark {
    /// A mark that no other process has, and no stranger can guess.
    #[must_use]
    pub fn random() -> ProcessMark {
        ProcessMark(random_text().into())
    }

    /// Whether a request went through this process before.
    pub(super) fn is_on(&self, headers: &HeaderMap) -> bool {
        headers
            .get_all(MARK)
            .iter()
            .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
            .any(|mark| mark.trim_ascii() == self.0.as_bytes())
    }

    /// Adds the mark to a request that is forwarded.
    pub(super) fn add_to(&self, headers: &mut HeaderMap) {
        if let Ok(mark) = HeaderValue::from_str(&self.0) {
            headers.append(MARK, mark);
        }
    }
}
