//! X.509 certificates of merchants and providers: names, serial numbers, keys. Paygate trusts none
//! of them because of its signature: the operator or the provider supplied it.

#[cfg(feature = "alipay")]
use rsa::BoxedUint;
#[cfg(feature = "alipay")]
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::der::{Decode, Encode};
#[cfg(feature = "alipay")]
use x509_cert::der::{Tag, Tagged};

use super::keys::{KeyError, VerifyingKey, to_der};
#[cfg(feature = "wxpay")]
use crate::domain::time::Millis;

/// An X.509 certificate (RFC 5280, section 4.1).
#[derive(Clone, Debug)]
pub(crate) struct Certificate(x509_cert::Certificate);

impl Certificate {
    /// Reads the first certificate of PEM, PEM with `\n` written out, bare base64, or DER.
    ///
    /// # Errors
    ///
    /// [`KeyError`] when `input` is no certificate.
    pub(crate) fn parse(input: &[u8]) -> Result<Certificate, KeyError> {
        let der = to_der(input, LABEL)?;
        let certificate = x509_cert::Certificate::from_der(&der);
        certificate.map(Certificate).map_err(|_| KeyError::NotA("an X.509 certificate"))
    }

    /// Reads every certificate of a PEM file, in its order, or the only one in another form.
    ///
    /// # Errors
    ///
    /// [`KeyError`] when one of them cannot be read.
    #[cfg(feature = "alipay")]
    pub(crate) fn parse_all(input: &[u8]) -> Result<Vec<Certificate>, KeyError> {
        let text = std::str::from_utf8(input).unwrap_or_default();
        let begins: Vec<usize> = text.match_indices(BEGIN).map(|(at, _)| at).collect();
        if begins.is_empty() {
            return Ok(vec![Certificate::parse(input)?]);
        }
        let ends = begins.iter().skip(1).copied().chain([text.len()]);
        let blocks = begins.iter().zip(ends).map(|(&begin, end)| &text[begin..end]);
        blocks.map(|block| Certificate::parse(block.as_bytes())).collect()
    }

    /// The serial number in hex, upper case, as WeChat Pay writes it.
    #[cfg(feature = "wxpay")]
    pub(crate) fn serial_hex(&self) -> String {
        self.serial().iter().map(|byte| format!("{byte:02X}")).collect()
    }

    /// The serial number in decimal digits, as Alipay writes it.
    #[cfg(feature = "alipay")]
    pub(crate) fn serial_decimal(&self) -> String {
        BoxedUint::from_be_slice_vartime(self.serial()).to_string_radix_vartime(10)
    }

    /// The bytes of the serial number without leading zeros.
    #[cfg(any(feature = "wxpay", feature = "alipay"))]
    fn serial(&self) -> &[u8] {
        let bytes = self.0.tbs_certificate().serial_number().as_bytes();
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        bytes.get(zeros..).unwrap_or_default()
    }

    /// The RSA key that it certifies.
    ///
    /// # Errors
    ///
    /// [`KeyError`] when the key is no RSA key, or too short.
    pub(crate) fn key(&self) -> Result<VerifyingKey, KeyError> {
        let key = self.0.tbs_certificate().subject_public_key_info().to_der();
        VerifyingKey::from_der(&key.map_err(|_| KeyError::NotA("an RSA public key"))?)
    }

    /// The end of its validity.
    #[cfg(feature = "wxpay")]
    pub(crate) fn expires_at(&self) -> Millis {
        let expires = self.0.tbs_certificate().validity().not_after.to_unix_duration();
        Millis(i64::try_from(expires.as_millis()).unwrap_or(i64::MAX))
    }

    /// Whether its issuer signed it with RSA (PKCS #1: RFC 8017, appendix C).
    #[cfg(feature = "alipay")]
    pub(crate) fn is_rsa_signed(&self) -> bool {
        self.0.signature_algorithm().oid.to_string().starts_with(PKCS1_OID)
    }

    /// The issuer as Java's `X500Principal.getName()` writes it: the most specific name first,
    /// `CN=…,OU=…,O=…,C=CN`, without escapes.
    ///
    /// # Errors
    ///
    /// [`KeyError`] when a name in it is no plain text.
    #[cfg(feature = "alipay")]
    pub(crate) fn issuer(&self) -> Result<String, KeyError> {
        let mut parts = Vec::new();
        for rdn in self.0.tbs_certificate().issuer().iter_rdn() {
            let attributes = rdn.iter().map(attribute).collect::<Result<Vec<_>, _>>()?;
            parts.push(attributes.join("+"));
        }
        parts.reverse();
        Ok(parts.join(","))
    }
}

#[cfg(feature = "alipay")]
fn attribute(attribute: &AttributeTypeAndValue) -> Result<String, KeyError> {
    let oid = attribute.oid.to_string();
    let short = SHORT_NAMES.iter().find(|(known, _)| *known == oid).map(|(_, short)| *short);
    let value = plain_text(attribute).ok_or(KeyError::NotA("a certificate with a plain issuer"))?;
    Ok(format!("{}={value}", short.unwrap_or(&oid)))
}

#[cfg(feature = "alipay")]
fn plain_text(attribute: &AttributeTypeAndValue) -> Option<&str> {
    match attribute.value.tag() {
        Tag::NumericString | Tag::PrintableString | Tag::Utf8String | Tag::Ia5String => {
            std::str::from_utf8(attribute.value.value()).ok()
        }
        _ => None,
    }
}

const LABEL: &str = "CERTIFICATE";

#[cfg(feature = "alipay")]
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";

/// Every RSA signature algorithm's identifier begins with it.
#[cfg(feature = "alipay")]
const PKCS1_OID: &str = "1.2.840.113549.1.1.";

/// The keywords of RFC 2253, section 2.3.
#[cfg(feature = "alipay")]
const SHORT_NAMES: [(&str, &str); 9] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.6", "C"),
    ("2.5.4.9", "STREET"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
];
