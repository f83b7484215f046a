//! The error of a record that this program cannot read.

use std::fmt;

/// Why a text is no record of an order that this program reads. It quotes nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordError {
    /// The text is no record, or names a state or a kind that this program does not know.
    Invalid {
        /// Where reading stopped, in bytes from the start of the record, migrated to
        /// [`RECORD_VERSION`](super::RECORD_VERSION).
        byte: usize,
    },
    /// A newer paygate wrote the record in a version that this program cannot read.
    Newer {
        /// The record's version.
        version: u32,
    },
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecordError::Invalid { byte } => {
                write!(f, "an order's record is invalid at byte {byte}")
            }
            RecordError::Newer { version } => {
                write!(f, "a newer paygate wrote an order's record (version {version})")
            }
        }
    }
}

impl std::error::Error for RecordError {}
