//! Files that a configuration names.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use super::problem::ProblemReason;

/// A file that was read.
pub(super) struct FileContents {
    /// The bytes, as they are.
    pub(super) bytes: Vec<u8>,
    /// Whether others than the owner and the group can read the file.
    pub(super) readable_by_others: bool,
}

/// Reads a regular file of 1 to `bytes_max` bytes.
///
/// # Errors
///
/// The reason, without the path: the operator may have set the secret itself in its place.
pub(super) fn read_file(path: &Path, bytes_max: u64) -> Result<FileContents, ProblemReason> {
    let unreadable = |error: io::Error| ProblemReason::from(format!("cannot be read: {error}"));
    // Checked before the file is opened: opening a pipe would wait for its other end.
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err("is not a regular file".into());
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > bytes_max {
        return Err(format!("is larger than {} KiB", bytes_max >> 10).into());
    }
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err("is empty".into());
    }
    Ok(FileContents { bytes, readable_by_others: readable_by_others(&metadata) })
}

#[cfg(unix)]
fn readable_by_others(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.permissions().mode() & 0o004 != 0
}

#[cfg(not(unix))]
fn readable_by_others(_: &fs::Metadata) -> bool {
    false
}
