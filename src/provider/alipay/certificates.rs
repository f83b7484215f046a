//! Alipay's certificates and their serial numbers.
//!
//! In certificate mode a request names the app's certificate and Alipay's roots, and a reply
//! Alipay's certificate, by an "SN": the MD5 of the issuer's name and the decimal serial number
//! (Alipay open platform, "certificate signing", computing SN). MD5 only names things here;
//! nothing is trusted because of it.

use md5::{Digest, Md5};

use crate::provider::certificate::Certificate;
use crate::provider::key_form::KeyError;
use crate::provider::keys::VerifyingKey;

/// `app_cert_sn` of `appCertPublicKey_<appid>.crt`.
///
/// # Errors
///
/// [`KeyError`] when `input` is no certificate.
pub fn app_cert_sn(input: &[u8]) -> Result<String, KeyError> {
    sn(&Certificate::parse(input)?)
}

/// `alipay_root_cert_sn` of `alipayRootCert.crt`: the SNs of its RSA-signed certificates, joined
/// by `_`. The others in it (SM2, ECDSA) do not count.
///
/// # Errors
///
/// [`KeyError`] when `input` holds no RSA-signed certificate, or one that cannot be read, or none
/// that is a root: the app's own certificate, or Alipay's, in the place of the roots.
pub fn root_cert_sn(input: &[u8]) -> Result<String, KeyError> {
    let certificates = roots(input)?;
    if certificates.is_empty() {
        return Err(KeyError::NotA("a bundle with an RSA-signed certificate"));
    }
    if !certificates.iter().any(Certificate::is_root) {
        return Err(KeyError::NotA("Alipay's roots (alipayRootCert.crt): another issued it"));
    }
    Ok(certificates.iter().map(sn).collect::<Result<Vec<_>, _>>()?.join("_"))
}

/// The RSA-signed certificates of `alipayRootCert.crt`.
///
/// # Errors
///
/// [`KeyError`] when one of its certificates cannot be read.
pub(crate) fn roots(input: &[u8]) -> Result<Vec<Certificate>, KeyError> {
    let mut certificates = Certificate::parse_all(input)?;
    certificates.retain(Certificate::is_rsa_signed);
    Ok(certificates)
}

/// `alipay_cert_sn` and the key of `alipayCertPublicKey_RSA2.crt`: of its first certificate. The
/// file may hold the intermediate after it.
///
/// # Errors
///
/// [`KeyError`] when `input` is no certificate with an RSA key.
pub fn public_cert(input: &[u8]) -> Result<(String, VerifyingKey), KeyError> {
    let certificate = Certificate::parse(input)?;
    Ok((sn(&certificate)?, certificate.key()?))
}

fn sn(certificate: &Certificate) -> Result<String, KeyError> {
    let named = format!("{}{}", certificate.issuer()?, certificate.serial_decimal());
    Ok(Md5::digest(named).iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use rcgen::{
        CertificateParams, DnType, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256,
        SerialNumber, SignatureAlgorithm,
    };

    use super::*;

    /// A certificate for a key of `leaf`'s algorithm, by an issuer called `names` with a key of
    /// `by`'s. It is the issuer's own where the issuer is called a root.
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
        let key = KeyPair::generate_for(leaf).unwrap();
        let mut params = CertificateParams::default();
        if names.iter().any(|(_, value)| value.starts_with("Root ")) {
            params.distinguished_name = issuer.distinguished_name.clone();
        }
        params.serial_number = Some(SerialNumber::from_slice(serial));
        let issuer = Issuer::new(issuer, KeyPair::generate_for(by).unwrap());
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
        let refused = root_cert_sn(leaf().0.as_bytes()).unwrap_err().to_string();
        assert!(refused.contains("alipayRootCert.crt"), "another's certificate: {refused}");
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
