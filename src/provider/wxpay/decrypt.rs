//! Decrypts certificates and notifications with the APIv3 key: `AEAD_AES_256_GCM` (WeChat Pay V3,
//! "how to decrypt certificates and notifications").

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::secret::Secret;

/// The bytes of an APIv3 key: its 32 characters as they are.
pub(crate) const API_V3_KEY_BYTES: usize = 32;

/// An encrypted object in a list of certificates or in a notification.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct EncryptedResource {
    algorithm: String,
    nonce: String,
    /// `null` is as good as absent.
    #[serde(default)]
    associated_data: Option<String>,
    ciphertext: String,
}

impl EncryptedResource {
    /// The plaintext.
    ///
    /// # Errors
    ///
    /// [`DecryptError`] for anything but a text that was encrypted with this key.
    pub(crate) fn decrypt(&self, api_v3_key: &Secret) -> Result<Vec<u8>, DecryptError> {
        if self.algorithm != "AEAD_AES_256_GCM" {
            return Err(DecryptError::Algorithm);
        }
        let key = UnboundKey::new(&AES_256_GCM, api_v3_key.expose().as_bytes())
            .map_err(|_| DecryptError::Key)?;
        let nonce = Nonce::try_assume_unique_for_key(self.nonce.as_bytes())
            .map_err(|_| DecryptError::Nonce)?;
        let mut text = STANDARD.decode(&self.ciphertext).map_err(|_| DecryptError::Base64)?;
        let associated_data = self.associated_data.as_deref().unwrap_or_default();
        let plain = LessSafeKey::new(key)
            .open_in_place(nonce, Aad::from(associated_data.as_bytes()), &mut text)
            .map_err(|_| DecryptError::Tag)?
            .len();
        text.truncate(plain);
        Ok(text)
    }
}

/// Why a text cannot be decrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DecryptError {
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

impl fmt::Display for DecryptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DecryptError::Algorithm => "is sealed by an unknown algorithm",
            DecryptError::Key => "cannot be opened: the APIv3 key is not 32 bytes",
            DecryptError::Nonce => "has a nonce that is not 12 bytes",
            DecryptError::Base64 => "is no base64",
            DecryptError::Tag => "was not sealed with this APIv3 key, or was changed",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Encrypted by `python3 -c` with `cryptography`'s AESGCM: an implementation of its own.
    fn known() -> EncryptedResource {
        EncryptedResource {
            algorithm: "AEAD_AES_256_GCM".to_owned(),
            nonce: "fdasflkja484".to_owned(),
            associated_data: Some("certificate".to_owned()),
            ciphertext: CIPHERTEXT.to_owned(),
        }
    }

    fn key() -> Secret {
        Secret::new("0123456789abcdef0123456789abcdef")
    }

    fn check(change: impl FnOnce(&mut EncryptedResource)) -> Result<Vec<u8>, DecryptError> {
        let mut sealed = known();
        change(&mut sealed);
        sealed.decrypt(&key())
    }

    #[test]
    fn what_the_key_sealed_opens() {
        assert_eq!(check(|_| ()), Ok(b"hello wechat".to_vec()));
    }

    #[test]
    fn anything_else_is_an_error_and_never_a_panic() {
        for nonce in ["", "x", "elevenchars", "thirteenchars", "sixteen_chars_16"] {
            assert_eq!(
                check(|resource| resource.nonce = nonce.to_owned()),
                Err(DecryptError::Nonce),
                "{nonce}"
            );
        }
        for text in ["", "AAAA", "aGVsbG8gd2VjaGF0"] {
            assert_eq!(
                check(|resource| resource.ciphertext = text.to_owned()),
                Err(DecryptError::Tag),
                "{text}"
            );
        }
        for text in ["*", "not base64", "AAA"] {
            let got = check(|resource| resource.ciphertext = text.to_owned());
            assert_eq!(got, Err(DecryptError::Base64), "{text}");
        }
        let aad = Some("x".repeat(1 << 20));
        assert_eq!(check(|resource| resource.associated_data = aad), Err(DecryptError::Tag));
        assert_eq!(check(|resource| resource.associated_data = None), Err(DecryptError::Tag));
        assert_eq!(
            check(|resource| resource.algorithm = "none".to_owned()),
            Err(DecryptError::Algorithm)
        );
        assert_eq!(known().decrypt(&Secret::new("short")), Err(DecryptError::Key));
        let other = Secret::new("f".repeat(API_V3_KEY_BYTES));
        assert_eq!(known().decrypt(&other), Err(DecryptError::Tag));
    }

    /// Sealed without associated data, as a notification without it is.
    #[test]
    fn associated_data_may_be_missing_or_null() {
        let sealing = UnboundKey::new(&AES_256_GCM, key().expose().as_bytes()).unwrap();
        let nonce = Nonce::try_assume_unique_for_key(b"fdasflkja484").unwrap();
        let mut sealed = b"plain".to_vec();
        let sealing = LessSafeKey::new(sealing);
        sealing.seal_in_place_append_tag(nonce, Aad::from(b""), &mut sealed).unwrap();
        for associated_data in ["", r#""associated_data":null,"#, r#""associated_data":"","#] {
            let ciphertext = STANDARD.encode(&sealed);
            let resource: EncryptedResource = serde_json::from_str(&format!(
                r#"{{"algorithm":"AEAD_AES_256_GCM","nonce":"fdasflkja484",{associated_data}
                    "ciphertext":"{ciphertext}"}}"#
            ))
            .unwrap();
            assert_eq!(resource.decrypt(&key()).unwrap(), b"plain", "{associated_data}");
        }
    }

    const CIPHERTEXT: &str = "HgAfj6q+EIRdcFcPmMlPmzLsp1PPgfi525KzFw==";
}
