//! X.509 certificates of merchants and providers: names, serial numbers, keys. Paygate trusts none
//! of them because of its signature: the operator or the provider supplied it.

use std::time::Duration;

#[cfg(feature = "alipay")]
use rsa::BoxedUint;
use rsa::pkcs8::ObjectIdentifier;
use rsa::pkcs8::der::asn1::{AnyRef, GeneralizedTime, UintRef, UtcTime};
use rsa::pkcs8::der::{self, Decode, Reader, SliceReader, Tag, Tagged};

use super::key_form::{KeyError, Wanted, to_der};
use super::keys::VerifyingKey;
use crate::domain::time::Millis;

/// What paygate reads of an X.509 certificate (RFC 5280, section 4.1).
#[derive(Clone, Debug)]
#[cfg_attr(not(all(feature = "wxpay", feature = "alipay")), allow(dead_code))]
pub(crate) struct Certificate {
    /// Big-endian, without leading zeros.
    serial: Vec<u8>,
    /// The most general name first, as encoded.
    issuer: Vec<RelativeName>,
    /// Whether its issuer is itself.
    is_root: bool,
    /// The end of its validity, since 1970.
    not_after: Duration,
    /// Its SubjectPublicKeyInfo, in DER.
    public_key: Vec<u8>,
    /// The algorithm with which its issuer signed it.
    signature_algorithm: ObjectIdentifier,
}

/// One RelativeDistinguishedName of an issuer; most have one attribute.
type RelativeName = Vec<NameAttribute>;

#[derive(Clone, Debug)]
#[cfg_attr(not(feature = "alipay"), allow(dead_code))]
struct NameAttribute {
    kind: ObjectIdentifier,
    /// `None` when it is not one of the string types whose bytes are text.
    value: Option<String>,
}

impl Certificate {
    /// Reads the first certificate of PEM, PEM with `\n` written out, bare base64, or DER.
    ///
    /// # Errors
    ///
    /// [`KeyError`] when `input` is no certificate.
    pub(crate) fn parse(input: &[u8]) -> Result<Certificate, KeyError> {
        let der = to_der(input, Wanted::Certificate)?;
        Certificate::from_der(&der).map_err(|_| Wanted::Certificate.refusal(&der))
    }

    fn from_der(der: &[u8]) -> der::Result<Certificate> {
        let mut reader = SliceReader::new(der)?;
        let certificate = reader.sequence(|reader| {
            let certificate = reader.sequence(tbs_certificate)?;
            // The same as in the certificate (RFC 5280, section 4.1.1.2).
            let _signature_algorithm = algorithm(reader)?;
            let _signature = reader.tlv_bytes()?;
            Ok::<_, der::Error>(certificate)
        })?;
        reader.finish()?;
        Ok(certificate)
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
    pub(crate) fn serial_hex(&self) -> String {
        self.serial.iter().map(|byte| format!("{byte:02X}")).collect()
    }

    /// The serial number in decimal digits, as Alipay writes it.
    #[cfg(feature = "alipay")]
    pub(crate) fn serial_decimal(&self) -> String {
        BoxedUint::from_be_slice_vartime(&self.serial).to_string_radix_vartime(10)
    }

    /// The RSA key that it certifies.
    ///
    /// # Errors
    ///
    /// [`KeyError`] when the key is no RSA key, or too short.
    pub(crate) fn key(&self) -> Result<VerifyingKey, KeyError> {
        VerifyingKey::from_der(&self.public_key).map_err(|error| match error {
            KeyError::TooShort(_) => error,
            _ => KeyError::NotA("the certificate of an RSA key, which the provider requires"),
        })
    }

    /// The end of its validity.
    pub(crate) fn expires_at(&self) -> Millis {
        Millis(i64::try_from(self.not_after.as_millis()).unwrap_or(i64::MAX))
    }

    /// Whether its issuer is itself, as a root's is.
    #[cfg(feature = "alipay")]
    pub(crate) fn is_root(&self) -> bool {
        self.is_root
    }

    /// Whether its issuer signed it with RSA (PKCS #1: RFC 8017, appendix C).
    #[cfg(feature = "alipay")]
    pub(crate) fn is_rsa_signed(&self) -> bool {
        self.signature_algorithm.to_string().starts_with(PKCS1_OID)
    }

    /// The issuer as Java's `X500Principal.getName()` writes it: the most specific name first,
    /// `CN=…,OU=…,O=…,C=CN`, without escapes.
    ///
    /// # Errors
    ///
    /// [`KeyError`] when a name in it is no plain text.
    #[cfg(feature = "alipay")]
    pub(crate) fn issuer(&self) -> Result<String, KeyError> {
        let names = self.issuer.iter().rev().map(|name| {
            let attributes = name.iter().map(attribute_text).collect::<Result<Vec<_>, _>>()?;
            Ok(attributes.join("+"))
        });
        Ok(names.collect::<Result<Vec<_>, _>>()?.join(","))
    }
}

#[cfg(feature = "alipay")]
fn attribute_text(attribute: &NameAttribute) -> Result<String, KeyError> {
    let kind = attribute.kind.to_string();
    let short = SHORT_NAMES.iter().find(|(known, _)| *known == kind).map(|(_, short)| *short);
    let value = attribute.value.as_deref();
    let value = value.ok_or(KeyError::NotA("a certificate with a plain issuer"))?;
    Ok(format!("{}={value}", short.unwrap_or(&kind)))
}

/// Reads a TBSCertificate's content, to its end.
fn tbs_certificate(reader: &mut SliceReader<'_>) -> der::Result<Certificate> {
    // The version: absent in the oldest certificates.
    if Tag::peek(reader)?.is_context_specific() {
        reader.tlv_bytes()?;
    }
    let serial = UintRef::decode(reader)?.as_bytes().to_vec();
    let signature_algorithm = algorithm(reader)?;
    let issuer_name = reader.tlv_bytes()?;
    let issuer = SliceReader::new(issuer_name)?.sequence(|reader| {
        let mut names = Vec::new();
        while !reader.is_finished() {
            names.push(relative_name(reader)?);
        }
        Ok::<_, der::Error>(names)
    })?;
    let not_after = reader.sequence(|reader| {
        reader.tlv_bytes()?;
        time(reader)
    })?;
    let is_root = reader.tlv_bytes()? == issuer_name;
    let public_key = reader.tlv_bytes()?.to_vec();
    skip_rest(reader)?;
    Ok(Certificate { serial, issuer, is_root, not_after, public_key, signature_algorithm })
}

/// Reads an AlgorithmIdentifier.
fn algorithm(reader: &mut SliceReader<'_>) -> der::Result<ObjectIdentifier> {
    reader.sequence(|reader| {
        let algorithm = ObjectIdentifier::decode(reader)?;
        skip_rest(reader)?;
        Ok(algorithm)
    })
}

fn relative_name(reader: &mut SliceReader<'_>) -> der::Result<RelativeName> {
    let set = AnyRef::decode(reader)?;
    set.tag().assert_eq(Tag::Set)?;
    let mut reader = SliceReader::new(set.value())?;
    let mut attributes = Vec::new();
    while !reader.is_finished() {
        attributes.push(reader.sequence(|reader| {
            let kind = ObjectIdentifier::decode(reader)?;
            Ok::<_, der::Error>(NameAttribute { kind, value: plain_text(AnyRef::decode(reader)?) })
        })?);
    }
    Ok(attributes)
}

fn plain_text(value: AnyRef<'_>) -> Option<String> {
    match value.tag() {
        Tag::NumericString | Tag::PrintableString | Tag::Utf8String | Tag::Ia5String => {
            std::str::from_utf8(value.value()).ok().map(str::to_owned)
        }
        _ => None,
    }
}

fn time(reader: &mut SliceReader<'_>) -> der::Result<Duration> {
    if Tag::peek(reader)? == Tag::UtcTime {
        return Ok(UtcTime::decode(reader)?.to_unix_duration());
    }
    Ok(GeneralizedTime::decode(reader)?.to_unix_duration())
}

fn skip_rest(reader: &mut SliceReader<'_>) -> der::Result<()> {
    while !reader.is_finished() {
        reader.tlv_bytes()?;
    }
    Ok(())
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_or_damaged_certificate_is_refused_or_read_and_never_a_panic() {
        let pair = rcgen::KeyPair::generate().unwrap();
        let der = rcgen::CertificateParams::default().self_signed(&pair).unwrap().der().to_vec();
        assert!(Certificate::from_der(&der).is_ok());
        for end in 0..der.len() {
            assert!(Certificate::from_der(&der[..end]).is_err(), "{end} bytes of it were read");
        }
        for at in 0..der.len() {
            for bit in 0..8 {
                let mut damaged = der.clone();
                damaged[at] ^= 1 << bit;
                let _ = Certificate::from_der(&damaged);
            }
        }
        let mut longer = der;
        longer.push(0);
        assert!(Certificate::from_der(&longer).is_err(), "a byte after it was ignored");
    }
}
