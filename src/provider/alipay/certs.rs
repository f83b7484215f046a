//! Alipay's certificates and their serial numbers.

use crate::provider::keys::{KeyError, VerifyingKey};

/// `app_cert_sn` of `appCertPublicKey_<appid>.crt`.
///
/// # Errors
///
/// [`KeyError`] when `input` is no certificate.
pub fn app_cert_sn(input: &[u8]) -> Result<String, KeyError> {
    let _ = input;
    Err(KeyError::NotA("implemented"))
}

/// `alipay_root_cert_sn` of `alipayRootCert.crt`.
///
/// # Errors
///
/// [`KeyError`] when `input` holds no RSA-signed certificate.
pub fn root_cert_sn(input: &[u8]) -> Result<String, KeyError> {
    let _ = input;
    Err(KeyError::NotA("implemented"))
}

/// `alipay_cert_sn` and the key of `alipayCertPublicKey_RSA2.crt`: of its first certificate.
///
/// # Errors
///
/// [`KeyError`] when `input` is no certificate with an RSA key.
pub fn public_cert(input: &[u8]) -> Result<(String, VerifyingKey), KeyError> {
    let _ = input;
    Err(KeyError::NotA("implemented"))
}
