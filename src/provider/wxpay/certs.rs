//! WeChat Pay's certificates.

use crate::provider::keys::KeyError;

/// The serial number of a merchant API certificate: hex, upper case.
///
/// # Errors
///
/// [`KeyError`] when `input` is no certificate.
pub fn serial_no(input: &[u8]) -> Result<String, KeyError> {
    let _ = input;
    Err(KeyError::NotA("implemented"))
}
