//! The providers' side of the signatures, with the `rsa` crate.
//!
//! It verifies the engine's signatures, made with aws-lc-rs, by another implementation, and the
//! engine verifies its signatures.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rsa::pkcs8::DecodePrivateKey;
use rsa::{PrivateKey, PublicKey};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::keys;
use crate::secret::random_text;

/// A key pair of the mock, with which it signs or verifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signer {
    /// The merchant at WeChat Pay.
    WxpayMerchant,
    /// WeChat Pay in public-key mode.
    WxpayPublicMode,
    /// WeChat Pay's platform certificate.
    WxpayPlatform,
    /// The merchant's apps at Alipay.
    AlipayApp,
    /// Alipay.
    Alipay,
}

impl Signer {
    /// The RSASSA-PKCS1-v1_5 SHA-256 signature over `message`, in base64.
    pub(super) fn sign(self, message: &[u8]) -> String {
        let signature = self.key().pkcs1v15_sign::<Sha256>(message);
        STANDARD.encode(signature.expect("an embedded key of 2048 bits signs every message"))
    }

    /// Whether `signature_base64` is the signature of this key pair over `message`.
    pub(super) fn verifies(self, message: &[u8], signature_base64: &str) -> bool {
        STANDARD.decode(signature_base64).is_ok_and(|signature| {
            let key: PublicKey = self.key().to_public_key();
            key.pkcs1v15_verify::<Sha256>(message, &signature).is_ok()
        })
    }

    fn key(self) -> &'static PrivateKey {
        static KEYS: LazyLock<[PrivateKey; 5]> = LazyLock::new(|| {
            [
                keys::WXPAY_MERCHANT_KEY_PEM,
                keys::WXPAY_PUBLIC_MODE_KEY_PEM,
                keys::WXPAY_PLATFORM_KEY_PEM,
                keys::ALIPAY_APP_KEY_PEM,
                keys::ALIPAY_KEY_PEM,
            ]
            .map(|pem| PrivateKey::from_pkcs8_pem(pem).expect("an embedded private key"))
        });
        match self {
            Signer::WxpayMerchant => &KEYS[0],
            Signer::WxpayPublicMode => &KEYS[1],
            Signer::WxpayPlatform => &KEYS[2],
            Signer::AlipayApp => &KEYS[3],
            Signer::Alipay => &KEYS[4],
        }
    }
}

/// Twelve random characters, and the same as bytes.
pub(super) fn nonce() -> (String, [u8; 12]) {
    let mut text = random_text();
    text.truncate(12);
    let bytes = text.as_bytes().try_into().expect("32 characters have 12");
    (text, bytes)
}

/// `ciphertext` in base64: `plain` under the APIv3 key (WeChat Pay V3, "decrypting certificates
/// and notifications": AEAD_AES_256_GCM, the tag at the end).
pub(super) fn encrypt(nonce: [u8; 12], associated: &str, plain: &str) -> String {
    let key = UnboundKey::new(&AES_256_GCM, keys::API_V3_KEY.as_bytes());
    let key = LessSafeKey::new(key.expect("the APIv3 key has 32 bytes"));
    let mut sealed = plain.as_bytes().to_vec();
    let nonce = Nonce::assume_unique_for_key(nonce);
    key.seal_in_place_append_tag(nonce, Aad::from(associated.as_bytes()), &mut sealed)
        .expect("AES-GCM seals a few KiB");
    STANDARD.encode(sealed)
}

/// The SHA-256, in hex, of `value` whatever the order of its keys.
pub(super) fn digest(value: &Value) -> String {
    let mut canonical = String::new();
    write_canonical(value, &mut canonical);
    Sha256::digest(canonical.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Depth is bounded by serde_json's own limit.
fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<&String, &Value> = map.iter().collect();
            out.push('{');
            for (key, value) in sorted {
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write_canonical(value, out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for item in items {
                write_canonical(item, out);
                out.push(',');
            }
            out.push(']');
        }
        plain => out.push_str(&plain.to_string()),
    }
}
