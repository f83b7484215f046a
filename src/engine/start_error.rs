//! Why an engine does not start.

use std::fmt;

use crate::error::debug_like_display;
use crate::store::StoreError;

/// Why an engine did not start.
#[non_exhaustive]
pub enum StartError {
    /// A required part was not given.
    Missing(&'static str),
    /// vk-uni-pay's error 101: providers have no URL to report payments to.
    NoNotifyUrl,
    /// A setting that the engine cannot work with.
    Setting {
        /// The [`Builder`](super::Builder)'s method: `public_url`.
        name: &'static str,
        /// The reason, in words that follow the name.
        reason: String,
    },
    /// The store cannot be used.
    Store(StoreError),
}

impl StartError {
    pub(super) fn setting(name: &'static str, reason: impl Into<String>) -> StartError {
        StartError::Setting { name, reason: reason.into() }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Missing(what) => write!(f, "the engine needs {what}"),
            StartError::NoNotifyUrl => {
                f.write_str("the engine needs public_url(), where providers reach this app")?;
                f.write_str(NO_NOTIFY_URL)
            }
            StartError::Setting { name, reason } => {
                write!(f, "{name}() {reason}")?;
                f.write_str(if *name == "public_url" { NO_NOTIFY_URL } else { "" })
            }
            StartError::Store(error) => error.fmt(f),
        }
    }
}

debug_like_display!(StartError);

impl std::error::Error for StartError {}

/// vk-uni-pay's own error.
const NO_NOTIFY_URL: &str = " (error 101: no usable notify URL)";
