//! Merchant and provider keys: any common form in, checked once, one form out.
//!
//! Keys are read with the `rsa` crate, which understands every form merchants have them in, and
//! used with aws-lc-rs, which signs six times as fast and in constant time (RUSTSEC-2023-0071
//! concerns private-key operations of the `rsa` crate: no live one goes through it).

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    KeyPair as _, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair,
    UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rsa::pkcs1::{DecodeRsaPrivateKey, DecodeRsaPublicKey};
use rsa::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey};
use rsa::traits::PublicKeyParts;
use rsa::{PrivateKey, PublicKey};
use sha2::{Digest, Sha256};

/// The shortest RSA key that is accepted, in bits.
pub const RSA_BITS_MIN: usize = 2048;

/// A merchant's private key. Never printed.
#[derive(Clone)]
pub struct SigningKey {
    pair: Arc<RsaKeyPair>,
    fingerprint: [u8; 32],
}

impl SigningKey {
    /// Reads PEM (PKCS#1 or PKCS#8), PEM with `\n` written out, bare base64 with or without line
    /// breaks, or DER.
    ///
    /// # Errors
    ///
    /// [`KeyError`] says what is wrong, never what was read.
    pub fn parse(input: &[u8]) -> Result<SigningKey, KeyError> {
        let der = to_der(input, "PRIVATE KEY")?;
        let key = PrivateKey::from_pkcs8_der(&der)
            .or_else(|_| PrivateKey::from_pkcs1_der(&der))
            .map_err(|_| KeyError::NotA("an RSA private key (PKCS#1 or PKCS#8)"))?;
        check_bits(key.n().bit_width() as usize)?;
        let pkcs8 = key.to_pkcs8_der().map_err(|_| KeyError::NotA("a usable RSA private key"))?;
        let pair = RsaKeyPair::from_pkcs8(pkcs8.as_bytes())
            .map_err(|_| KeyError::NotA("a usable RSA private key"))?;
        let fingerprint = public_fingerprint(&key.to_public_key())?;
        Ok(SigningKey { pair: Arc::new(pair), fingerprint })
    }

    /// The RSASSA-PKCS1-v1_5 SHA-256 signature over `message`, in base64 without line breaks.
    ///
    /// # Panics
    ///
    /// Never: a checked key of at least 2048 bits signs every message.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> String {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
            .expect("a checked RSA key signs every message");
        STANDARD.encode(signature)
    }

    /// The key's other half.
    ///
    /// # Panics
    ///
    /// Never: the public half of a checked key is a checked key.
    #[must_use]
    pub fn verifying_key(&self) -> VerifyingKey {
        let parsed = UnparsedPublicKey::new(
            &RSA_PKCS1_2048_8192_SHA256,
            self.pair.public_key().as_ref().to_vec(),
        );
        let parsed = parsed.parse().expect("the public half of a checked key");
        VerifyingKey { key: Arc::new(parsed), fingerprint: self.fingerprint }
    }

    /// SHA-256 of the public half's SubjectPublicKeyInfo: names the key without telling it.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(***)")
    }
}

/// A provider's public key.
#[derive(Clone)]
pub struct VerifyingKey {
    key: Arc<ParsedPublicKey>,
    fingerprint: [u8; 32],
}

impl VerifyingKey {
    /// Reads PEM (SubjectPublicKeyInfo or PKCS#1), PEM with `\n` written out, bare base64, or DER.
    ///
    /// # Errors
    ///
    /// [`KeyError`] says what is wrong, never what was read.
    pub fn parse(input: &[u8]) -> Result<VerifyingKey, KeyError> {
        VerifyingKey::from_der(&to_der(input, "PUBLIC KEY")?)
    }

    /// Reads a DER SubjectPublicKeyInfo or PKCS#1 key, such as a certificate holds.
    ///
    /// # Errors
    ///
    /// [`KeyError`] says what is wrong.
    pub fn from_der(der: &[u8]) -> Result<VerifyingKey, KeyError> {
        let key = PublicKey::from_public_key_der(der)
            .or_else(|_| PublicKey::from_pkcs1_der(der))
            .map_err(|_| KeyError::NotA("an RSA public key"))?;
        check_bits(key.n().bit_width() as usize)?;
        let spki =
            key.to_public_key_der().map_err(|_| KeyError::NotA("a usable RSA public key"))?;
        let parsed = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, spki.as_bytes())
            .parse()
            .map_err(|_| KeyError::NotA("a usable RSA public key"))?;
        Ok(VerifyingKey { key: Arc::new(parsed), fingerprint: public_fingerprint(&key)? })
    }

    /// Whether `signature_base64` is this key's RSASSA-PKCS1-v1_5 SHA-256 signature over
    /// `message`. Text that is no base64 is no signature.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature_base64: &str) -> bool {
        STANDARD
            .decode(signature_base64)
            .is_ok_and(|signature| self.key.verify_sig(message, &signature).is_ok())
    }

    /// SHA-256 of the SubjectPublicKeyInfo.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VerifyingKey")
    }
}

/// Why a key was not accepted. Never holds what was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// Nothing but white space.
    Empty,
    /// It is not this.
    NotA(&'static str),
    /// So many bits are under [`RSA_BITS_MIN`].
    TooShort(usize),
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyError::Empty => f.write_str("is empty"),
            KeyError::NotA(what) => write!(f, "is not {what}"),
            KeyError::TooShort(bits) => {
                write!(f, "has {bits} bits; at least {RSA_BITS_MIN} are required")
            }
        }
    }
}

impl std::error::Error for KeyError {}

/// The DER behind any of the accepted text forms; `label` ends the PEM label that is looked for.
/// Also what certificates are read with (`label` = `CERTIFICATE`): the first block is taken.
pub(crate) fn to_der(input: &[u8], label: &'static str) -> Result<Vec<u8>, KeyError> {
    let Ok(text) = std::str::from_utf8(input) else { return Ok(input.to_vec()) };
    let text = text.replace("\\n", "\n").replace('\r', "");
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    if text.is_empty() {
        return Err(KeyError::Empty);
    }
    let base64 = match text.find("-----BEGIN ") {
        Some(_) => pem_body(text, label).ok_or(KeyError::NotA("a PEM block of the right kind"))?,
        None if text.starts_with('0') && !text.is_ascii() => return Ok(input.to_vec()),
        None => text,
    };
    let compact: String = base64.chars().filter(|c| !c.is_whitespace()).collect();
    STANDARD.decode(compact).or_else(|_| match input.first() {
        Some(0x30) => Ok(input.to_vec()),
        _ => Err(KeyError::NotA("PEM, base64 or DER")),
    })
}

/// What stands between the first `BEGIN … label` line and its `END` line.
fn pem_body<'a>(text: &'a str, label: &str) -> Option<&'a str> {
    let ending = format!("{label}-----");
    let begin = text
        .match_indices("-----BEGIN ")
        .find(|(at, _)| {
            text[*at..].lines().next().is_some_and(|line| line.trim_end().ends_with(&ending))
        })?
        .0;
    let body = &text[begin..][text[begin..].find(&ending)? + ending.len()..];
    Some(&body[..body.find("-----END ")?])
}

fn check_bits(bits: usize) -> Result<(), KeyError> {
    if bits < RSA_BITS_MIN { Err(KeyError::TooShort(bits)) } else { Ok(()) }
}

fn public_fingerprint(key: &PublicKey) -> Result<[u8; 32], KeyError> {
    let spki = key.to_public_key_der().map_err(|_| KeyError::NotA("a usable RSA key"))?;
    Ok(Sha256::digest(spki.as_bytes()).into())
}
