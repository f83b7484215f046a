//! Alipay's certificates and their serial numbers.
//!
//! In certificate mode a request names the app's certificate and Alipay's roots, and a reply
//! Alipay's certificate, by an "SN": the MD5 of the issuer's name and the decimal serial number
//! (Alipay open platform, "certificate signing", computing SN). MD5 only names things here;
//! nothing is trusted because of it.

use md5::{Digest, Md5};
use x509_parser::certificate::X509Certificate;
use x509_parser::parse_x509_certificate;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use crate::provider::keys::{KeyError, VerifyingKey, to_der};

/// `app_cert_sn` of `appCertPublicKey_<appid>.crt`.
///
/// # Errors
///
/// [`KeyError`] when `input` is no certificate.
pub fn app_cert_sn(input: &[u8]) -> Result<String, KeyError> {
    let der = to_der(input, LABEL)?;
    sn(&parse(&der)?)
}

/// `alipay_root_cert_sn` of `alipayRootCert.crt`: the SNs of its RSA-signed certificates, joined
/// by `_`. The others in it (SM2, ECDSA) do not count.
///
/// # Errors
///
/// [`KeyError`] when `input` holds no RSA-signed certificate, or one that cannot be read.
pub fn root_cert_sn(input: &[u8]) -> Result<String, KeyError> {
    let mut sns = Vec::new();
    for der in all_to_der(input)? {
        let certificate = parse(&der)?;
        let algorithm = certificate.signature_algorithm.algorithm.to_id_string();
        if algorithm.starts_with(PKCS1_OID) {
            sns.push(sn(&certificate)?);
        }
    }
    if sns.is_empty() {
        return Err(KeyError::NotA("a bundle with an RSA-signed certificate"));
    }
    Ok(sns.join("_"))
}

/// `alipay_cert_sn` and the key of `alipayCertPublicKey_RSA2.crt`: of its first certificate. The
/// file may hold the intermediate after it.
///
/// # Errors
///
/// [`KeyError`] when `input` is no certificate with an RSA key.
pub fn public_cert(input: &[u8]) -> Result<(String, VerifyingKey), KeyError> {
    let der = to_der(input, LABEL)?;
    let certificate = parse(&der)?;
    let key = VerifyingKey::from_der(certificate.public_key().raw)?;
    Ok((sn(&certificate)?, key))
}

/// Every certificate of a file, in its order.
fn all_to_der(input: &[u8]) -> Result<Vec<Vec<u8>>, KeyError> {
    let text = std::str::from_utf8(input).unwrap_or_default();
    let begins: Vec<usize> = text.match_indices(BEGIN).map(|(at, _)| at).collect();
    if begins.is_empty() {
        return Ok(vec![to_der(input, LABEL)?]);
    }
    let ends = begins.iter().skip(1).copied().chain([text.len()]);
    let blocks = begins.iter().zip(ends).map(|(&begin, end)| &text[begin..end]);
    blocks.map(|block| to_der(block.as_bytes(), LABEL)).collect()
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>, KeyError> {
    let (_, certificate) =
        parse_x509_certificate(der).map_err(|_| KeyError::NotA("an X.509 certificate"))?;
    Ok(certificate)
}

fn sn(certificate: &X509Certificate<'_>) -> Result<String, KeyError> {
    let named = format!("{}{}", issuer(certificate.issuer())?, certificate.tbs_certificate.serial);
    Ok(Md5::digest(named).iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The issuer as Java's `X500Principal.getName()` writes it, which the SN is defined by: the most
/// specific name first, `CN=…,OU=…,O=…,C=CN`.
fn issuer(name: &X509Name<'_>) -> Result<String, KeyError> {
    let mut parts = Vec::new();
    for rdn in name.iter_rdn() {
        let attributes = rdn.iter().map(attribute).collect::<Result<Vec<_>, _>>()?;
        parts.push(attributes.join("+"));
    }
    parts.reverse();
    Ok(parts.join(","))
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> Result<String, KeyError> {
    let oid = attribute.attr_type().to_id_string();
    let short = SHORT_NAMES.iter().find(|(known, _)| *known == oid).map(|(_, short)| *short);
    let value = attribute.as_str().map_err(|_| KeyError::NotA("a certificate with a plain issuer"));
    Ok(format!("{}={}", short.unwrap_or(&oid), value?))
}

const LABEL: &str = "CERTIFICATE";
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";

/// PKCS #1: every RSA signature algorithm's identifier begins with it (RFC 8017, appendix C).
const PKCS1_OID: &str = "1.2.840.113549.1.1.";

/// The keywords of RFC 2253, section 2.3.
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
    use rcgen::{
        CertificateParams, DnType, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256,
        SerialNumber, SignatureAlgorithm,
    };

    use super::*;

    /// A certificate for a key of `leaf`'s algorithm, by an issuer called `names` with a key of
    /// `by`'s.
    fn certificate(
        names: &[(DnType, &str)],
        serial: &[u8],
        [leaf, by]: [&'static SignatureAlgorithm; 2],
    ) -> (String, KeyPair) {
        let mut issuer = CertificateParams::default();
        issuer.distinguished_name = rcgen::DistinguishedName::new();
        for (name, value) in names {
            issuer.distinguished_name.push(name.clone(), *value);
        }
        let issuer = Issuer::new(issuer, KeyPair::generate_for(by).unwrap());
        let key = KeyPair::generate_for(leaf).unwrap();
        let mut params = CertificateParams::default();
        params.serial_number = Some(SerialNumber::from_slice(serial));
        (params.signed_by(&key, &issuer).unwrap().pem(), key)
    }

    const RSA: &SignatureAlgorithm = &PKCS_RSA_SHA256;
    const EC: &SignatureAlgorithm = &PKCS_ECDSA_P256_SHA256;

    /// Alipay's own issuer. The SN was computed with `md5sum` over its name and
    /// 716413167526808303635113761864026300505732491.
    fn leaf() -> (String, KeyPair) {
        let names = [
            (DnType::CountryName, "CN"),
            (DnType::OrganizationName, "Ant Financial"),
            (DnType::OrganizationalUnitName, "Certification Authority"),
            (DnType::CommonName, "Ant Financial Certification Authority Class 2 R1"),
        ];
        let serial = 0x2020_0514_0551_a60b_u64.to_be_bytes();
        let serial = [&serial[..], &0x3c2f_e04d_5387_167e_u64.to_be_bytes(), &[0x21, 0x35, 0x8b]];
        certificate(&names, &serial.concat(), [RSA, RSA])
    }

    const LEAF_SN: &str = "4fa12c4600c5edeba8458299fad49128";

    #[test]
    fn a_certificate_is_named_by_its_reversed_issuer_and_decimal_serial() {
        let (pem, _) = leaf();
        assert_eq!(app_cert_sn(pem.as_bytes()).as_deref(), Ok(LEAF_SN));
        let one_line = pem.replace('\n', "\\n");
        assert_eq!(app_cert_sn(one_line.as_bytes()).as_deref(), Ok(LEAF_SN));
    }

    #[test]
    fn a_file_of_several_certificates_is_read_for_its_first() {
        let (pem, key) = leaf();
        let (other, _) = certificate(&[(DnType::CommonName, "Root")], &[1], [RSA, RSA]);
        let (sn, verifying) = public_cert(format!("{pem}{other}").as_bytes()).unwrap();
        assert_eq!(sn, LEAF_SN);
        let expected = VerifyingKey::from_der(key.public_key_raw()).unwrap();
        assert_eq!(verifying.fingerprint(), expected.fingerprint());
    }

    #[test]
    fn of_the_roots_only_those_with_an_rsa_signature_count() {
        let root = |name, serial: &[u8], algorithms| {
            let names = [
                (DnType::CountryName, "CN"),
                (DnType::OrganizationName, "Ant Financial"),
                (DnType::CommonName, name),
            ];
            certificate(&names, serial, algorithms).0
        };
        let bundle = [
            root("Root SM2", &[1], [EC, EC]),
            root("Root R1", &[128], [RSA, RSA]),
            root("Root E1", &[2], [RSA, EC]),
            // Its key is not RSA; its signature is.
            root("Root R2", &[255, 255], [EC, RSA]),
        ];
        let expected = "1c538974caa2fe371fc5dc20c426236f_329338f83f5ff5fc6d0f68dc8b515ea1";
        assert_eq!(root_cert_sn(bundle.concat().as_bytes()).as_deref(), Ok(expected));
        assert!(root_cert_sn(bundle[0].as_bytes()).is_err(), "no RSA-signed certificate");
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        let (pem, _) = leaf();
        let cut = pem.replacen("MII", "", 1);
        let unclosed = pem.replace("-----END CERTIFICATE-----", "");
        for bad in ["", "x", "-----BEGIN CERTIFICATE-----", &cut, &unclosed] {
            assert!(app_cert_sn(bad.as_bytes()).is_err(), "{bad}");
            assert!(root_cert_sn(bad.as_bytes()).is_err(), "{bad}");
            assert!(public_cert(bad.as_bytes()).is_err(), "{bad}");
        }
        let (ec, _) = certificate(&[(DnType::CommonName, "Root")], &[1], [EC, RSA]);
        assert!(public_cert(ec.as_bytes()).is_err(), "Alipay signs with RSA");
    }
}
