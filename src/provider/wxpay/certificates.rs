//! WeChat Pay's certificates: the merchant's own, and the platform's that are downloaded.

use serde::Deserialize;

use super::decrypt::EncryptedResource;
use crate::domain::time::Millis;
use crate::provider::certificate::Certificate;
use crate::provider::key_form::KeyError;
use crate::provider::keys::VerifyingKey;
use crate::secret::Secret;

/// The serial number of a merchant API certificate: hex, upper case.
///
/// Reads PEM (the first certificate of it), PEM with `\n` written out, bare base64, or DER.
///
/// # Errors
///
/// [`KeyError`] when `input` is no certificate.
pub fn serial_no(input: &[u8]) -> Result<String, KeyError> {
    Ok(Certificate::parse(input)?.serial_hex())
}

/// A certificate that WeChat Pay signs with.
#[derive(Clone, Debug)]
pub(crate) struct PlatformCertificate {
    /// The value of `Wechatpay-Serial` that names it.
    pub(crate) serial_no: String,
    pub(crate) key: VerifyingKey,
    /// The end of its validity.
    pub(crate) expires_at: Millis,
}

/// Parses the response to `GET /v3/certificates` (WeChat Pay V3, download platform certificates):
/// every certificate that has not expired at `now`.
///
/// # Errors
///
/// A text for the operator. One certificate that cannot be decrypted or parsed, or has another
/// serial number than the list states, makes the whole list invalid.
pub(crate) fn parse_certificate_list(
    body: &[u8],
    api_v3_key: &Secret,
    now: Millis,
) -> Result<Vec<PlatformCertificate>, String> {
    let list: CertificateList = serde_json::from_slice(body)
        .map_err(|_| "the list of platform certificates is no such list".to_owned())?;
    if list.data.len() > CERTIFICATES_MAX {
        return Err(format!("more than {CERTIFICATES_MAX} platform certificates"));
    }
    let mut certificates = Vec::with_capacity(list.data.len());
    for entry in list.data {
        let certificate = entry.decrypt(api_v3_key)?;
        if now < certificate.expires_at {
            certificates.push(certificate);
        }
    }
    if certificates.is_empty() {
        return Err("there is no platform certificate that has not expired".to_owned());
    }
    Ok(certificates)
}

#[derive(Deserialize)]
struct CertificateList {
    data: Vec<CertificateListEntry>,
}

#[derive(Deserialize)]
struct CertificateListEntry {
    serial_no: String,
    encrypt_certificate: EncryptedResource,
}

impl CertificateListEntry {
    fn decrypt(self, api_v3_key: &Secret) -> Result<PlatformCertificate, String> {
        let text = self
            .encrypt_certificate
            .decrypt(api_v3_key)
            .map_err(|error| format!("a platform certificate {error}"))?;
        let certificate =
            Certificate::parse(&text).map_err(|error| format!("a platform certificate {error}"))?;
        if certificate.serial_hex() != self.serial_no {
            return Err("a platform certificate bears another serial number".to_owned());
        }
        let key =
            certificate.key().map_err(|error| format!("a platform certificate's key {error}"))?;
        let expires_at = certificate.expires_at();
        Ok(PlatformCertificate { serial_no: self.serial_no, key, expires_at })
    }
}

/// Two overlap when WeChat Pay rotates them; more than this is no rotation.
const CERTIFICATES_MAX: usize = 16;
