//! What WeChat Pay encrypts with the APIv3 key: `AEAD_AES_256_GCM`
//! (WeChat Pay V3, "how to decrypt certificates and notifications").

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::secret::Secret;

/// The bytes of an APIv3 key: its 32 characters as they are.
pub(crate) const API_V3_KEY_BYTES: usize = 32;

/// An encrypted object, as it stands in certificates and notifications.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Sealed {
    algorithm: String,
    nonce: String,
    #[serde(default)]
    associated_data: String,
    ciphertext: String,
}

impl Sealed {
    /// The plaintext.
    ///
    /// # Errors
    ///
    /// [`SealError`] for anything but a text that this key sealed.
    pub(crate) fn open(&self, api_v3_key: &Secret) -> Result<Vec<u8>, SealError> {
        if self.algorithm != "AEAD_AES_256_GCM" {
            return Err(SealError::Algorithm);
        }
        let key = UnboundKey::new(&AES_256_GCM, api_v3_key.expose().as_bytes())
            .map_err(|_| SealError::Key)?;
        let nonce = Nonce::try_assume_unique_for_key(self.nonce.as_bytes())
            .map_err(|_| SealError::Nonce)?;
        let mut text = STANDARD.decode(&self.ciphertext).map_err(|_| SealError::Base64)?;
        let plain = LessSafeKey::new(key)
            .open_in_place(nonce, Aad::from(self.associated_data.as_bytes()), &mut text)
            .map_err(|_| SealError::Tag)?
            .len();
        text.truncate(plain);
        Ok(text)
    }
}

/// Why a text could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SealError {
    /// Not `AEAD_AES_256_GCM`.
    Algorithm,
    /// The APIv3 key is not 32 bytes.
    Key,
    /// The nonce is not 12 bytes.
    Nonce,
    /// The ciphertext is no base64.
    Base64,
    /// Another key, other associated data, or a text that was cut or changed.
    Tag,
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SealError::Algorithm => "is sealed by an unknown algorithm",
            SealError::Key => "cannot be opened: the APIv3 key is not 32 bytes",
            SealError::Nonce => "has a nonce that is not 12 bytes",
            SealError::Base64 => "is no base64",
            SealError::Tag => "was not sealed with this APIv3 key, or was changed",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sealed by `python3 -c` with `cryptography`'s AESGCM: an implementation of its own.
    fn known() -> Sealed {
        Sealed {
            algorithm: "AEAD_AES_256_GCM".to_owned(),
            nonce: "fdasflkja484".to_owned(),
            associated_data: "certificate".to_owned(),
            ciphertext: CIPHERTEXT.to_owned(),
        }
    }

    fn key() -> Secret {
        Secret::new("0123456789abcdef0123456789abcdef")
    }

    fn check(change: impl FnOnce(&mut Sealed)) -> Result<Vec<u8>, SealError> {
        let mut sealed = known();
        change(&mut sealed);
        sealed.open(&key())
    }

    #[test]
    fn what_the_key_sealed_opens() {
        assert_eq!(check(|_| ()), Ok(b"hello wechat".to_vec()));
    }

    #[test]
    fn anything_else_is_an_error_and_never_a_panic() {
        for nonce in ["", "x", "elevenchars", "thirteenchars", "sixteen_chars_16"] {
            assert_eq!(check(|it| it.nonce = nonce.to_owned()), Err(SealError::Nonce), "{nonce}");
        }
        for text in ["", "AAAA", "aGVsbG8gd2VjaGF0"] {
            assert_eq!(check(|it| it.ciphertext = text.to_owned()), Err(SealError::Tag), "{text}");
        }
        for text in ["*", "not base64", "AAA"] {
            let got = check(|it| it.ciphertext = text.to_owned());
            assert_eq!(got, Err(SealError::Base64), "{text}");
        }
        let aad = "x".repeat(1 << 20);
        assert_eq!(check(|it| it.associated_data = aad), Err(SealError::Tag));
        assert_eq!(check(|it| it.associated_data.clear()), Err(SealError::Tag));
        assert_eq!(check(|it| it.algorithm = "none".to_owned()), Err(SealError::Algorithm));
        assert_eq!(known().open(&Secret::new("short")), Err(SealError::Key));
        let other = Secret::new("f".repeat(API_V3_KEY_BYTES));
        assert_eq!(known().open(&other), Err(SealError::Tag));
    }

    #[test]
    fn associated_data_may_be_missing() {
        let sealed: Sealed = serde_json::from_str(
            r#"{"algorithm":"AEAD_AES_256_GCM","nonce":"fdasflkja484","ciphertext":"AAAA"}"#,
        )
        .unwrap();
        assert_eq!(sealed.associated_data, "");
    }

    const CIPHERTEXT: &str = "HgAfj6q+EIRdcFcPmMlPmzLsp1PPgfi525KzFw==";
}
