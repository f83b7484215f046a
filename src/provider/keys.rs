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

use super::key_form::{KeyError, RSA_BITS_MIN, Wanted, to_der};

/// A merchant's private key. Never printed.
#[derive(Clone)]
pub struct SigningKey {
    pair: Arc<RsaKeyPair>,
    fingerprint: [u8; 32],
}

impl SigningKey {
    /// Reads PEM (PKCS#1 or PKCS#8), PEM with `\n` or `\r\n` written out, bare base64 with or
    /// without line breaks, or DER.
    ///
    /// # Errors
    ///
    /// [`KeyError`] names the fault, never the input.
    pub fn parse(input: &[u8]) -> Result<SigningKey, KeyError> {
        let der = to_der(input, Wanted::PrivateKey)?;
        let key = PrivateKey::from_pkcs8_der(&der)
            .or_else(|_| PrivateKey::from_pkcs1_der(&der))
            .map_err(|_| Wanted::PrivateKey.refusal(&der))?;
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

    /// SHA-256 of the public half's SubjectPublicKeyInfo: names the key without revealing it.
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
    /// [`KeyError`] names the fault, never the input.
    pub fn parse(input: &[u8]) -> Result<VerifyingKey, KeyError> {
        VerifyingKey::from_der(&to_der(input, Wanted::PublicKey)?)
    }

    /// Reads a DER SubjectPublicKeyInfo or PKCS#1 key, such as a certificate holds.
    ///
    /// # Errors
    ///
    /// [`KeyError`] names the fault.
    pub fn from_der(der: &[u8]) -> Result<VerifyingKey, KeyError> {
        let key = PublicKey::from_public_key_der(der)
            .or_else(|_| PublicKey::from_pkcs1_der(der))
            .map_err(|_| Wanted::PublicKey.refusal(der))?;
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

fn check_bits(bits: usize) -> Result<(), KeyError> {
    if bits < RSA_BITS_MIN { Err(KeyError::TooShort(bits)) } else { Ok(()) }
}

fn public_fingerprint(key: &PublicKey) -> Result<[u8; 32], KeyError> {
    let spki = key.to_public_key_der().map_err(|_| KeyError::NotA("a usable RSA key"))?;
    Ok(Sha256::digest(spki.as_bytes()).into())
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use rsa::PrivateKey;
    use rsa::pkcs1::{EncodeRsaPrivateKey, EncodeRsaPublicKey, LineEnding};

    use super::*;

    /// One key for all of these tests.
    static KEY: LazyLock<PrivateKey> = LazyLock::new(|| {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
        PrivateKey::from_pkcs8_der(pair.serialized_der()).unwrap()
    });

    /// A text and how it may be written: as it is, with `\n` or `\r\n` written out, with CRLF, in
    /// quotes, with white space around it.
    fn spellings(text: &str) -> Vec<Vec<u8>> {
        let spelled = [
            text.to_owned(),
            text.replace('\n', "\\n"),
            text.replace('\n', "\\r\\n"),
            text.replace('\n', "\r\n"),
            format!("\"{}\"", text.trim()),
            format!("\u{feff}  \n{text}\n\n "),
        ];
        spelled.map(String::into_bytes).into()
    }

    /// What PEM holds, with and without its line breaks.
    fn bare(pem: &str) -> [String; 2] {
        let lines: Vec<&str> = pem.lines().filter(|line| !line.starts_with('-')).collect();
        [lines.join("\n"), lines.concat()]
    }

    fn check_private(input: &[u8]) {
        let key = SigningKey::parse(input).unwrap();
        let signature = key.sign(b"message");
        assert_eq!(signature.len(), 344, "2048 bits in base64");
        assert!(!signature.contains('\n'));
        let public =
            VerifyingKey::from_der(KEY.to_public_key().to_public_key_der().unwrap().as_bytes())
                .unwrap();
        assert!(public.verifies(b"message", &signature));
        assert_eq!(public.fingerprint(), key.fingerprint());
        assert_eq!(public.fingerprint(), key.verifying_key().fingerprint());
    }

    #[test]
    fn every_common_form_of_a_private_key_is_the_same_key() {
        let pkcs8 = KEY.to_pkcs8_pem(LineEnding::LF).unwrap();
        let pkcs1 = KEY.to_pkcs1_pem(LineEnding::LF).unwrap();
        for pem in [&pkcs8, &pkcs1] {
            for text in bare(pem).iter().chain([&pem.to_string(), &pem.replace('\n', "")]) {
                spellings(text).iter().for_each(|input| check_private(input));
            }
        }
        check_private(KEY.to_pkcs8_der().unwrap().as_bytes());
        check_private(KEY.to_pkcs1_der().unwrap().as_bytes());
        check_private(format!("Bag Attributes: apiclient_key\n{}", *pkcs8).as_bytes());
    }

    #[test]
    fn every_common_form_of_a_public_key_is_the_same_key() {
        let public = KEY.to_public_key();
        let spki = public.to_public_key_pem(LineEnding::LF).unwrap();
        let pkcs1 = public.to_pkcs1_pem(LineEnding::LF).unwrap();
        let mut forms: Vec<Vec<u8>> = Vec::new();
        for pem in [&spki, &pkcs1] {
            for text in bare(pem).iter().chain([pem]) {
                forms.extend(spellings(text));
            }
        }
        forms.push(public.to_public_key_der().unwrap().into_vec());
        forms.push(public.to_pkcs1_der().unwrap().into_vec());
        let signing = SigningKey::parse(KEY.to_pkcs8_der().unwrap().as_bytes()).unwrap();
        let signature = signing.sign(b"message");
        for form in forms {
            let key = VerifyingKey::parse(&form).unwrap();
            assert!(key.verifies(b"message", &signature));
            assert_eq!(key.fingerprint(), signing.fingerprint());
        }
    }

    #[test]
    fn a_key_under_2048_bits_is_refused() {
        assert_eq!(SigningKey::parse(SHORT.as_bytes()).unwrap_err(), KeyError::TooShort(1024));
        let error = VerifyingKey::parse(SHORT_PUBLIC.as_bytes()).unwrap_err();
        assert_eq!(error, KeyError::TooShort(1024));
        assert_eq!(error.to_string(), "has 1024 bits; at least 2048 are required");
    }

    fn is_refused(error: &KeyError) -> bool {
        matches!(error, KeyError::NotA(_) | KeyError::Mistaken(_))
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_repeated() {
        let public = KEY.to_public_key().to_public_key_pem(LineEnding::LF).unwrap();
        let private = KEY.to_pkcs8_pem(LineEnding::LF).unwrap();
        let elliptic = rcgen::KeyPair::generate().unwrap().serialize_pem();
        let cut = &private[..private.len() / 2];
        let der = KEY.to_pkcs8_der().unwrap();
        let garbage: [&[u8]; 10] = [
            b"hunter2",
            b"-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----",
            b"-----BEGIN PRIVATE KEY-----",
            b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----",
            b"AAAA",
            b"0\x82",
            &[0xff; 64],
            &der.as_bytes()[..100],
            cut.as_bytes(),
            elliptic.as_bytes(),
        ];
        for input in garbage.into_iter().chain([public.as_bytes()]) {
            let error = SigningKey::parse(input).unwrap_err();
            assert!(is_refused(&error), "{error:?}");
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
        for input in garbage.into_iter().chain([private.as_bytes()]) {
            assert!(is_refused(&VerifyingKey::parse(input).unwrap_err()));
        }
        for input in ["", " \r\n\t", "\u{feff}", "\\n"] {
            assert_eq!(SigningKey::parse(input.as_bytes()).unwrap_err(), KeyError::Empty);
            assert_eq!(VerifyingKey::parse(input.as_bytes()).unwrap_err(), KeyError::Empty);
        }
    }

    #[test]
    fn a_text_that_is_no_signature_does_not_verify() {
        let key = SigningKey::parse(KEY.to_pkcs8_der().unwrap().as_bytes()).unwrap();
        let signature = key.sign(b"message");
        let public = key.verifying_key();
        assert!(public.verifies(b"message", &signature));
        assert!(!public.verifies(b"massage", &signature));
        let probe = format!("WECHATPAY/SIGNTEST/{signature}");
        let twice = format!("{signature}{signature}");
        let spaced = format!("{signature}\n");
        for no_signature in [&probe, &twice, &spaced, "", "*", "AAAA", &signature[..340]] {
            assert!(!public.verifies(b"message", no_signature), "{no_signature}");
        }
    }

    #[test]
    fn a_private_key_is_never_printed() {
        let key = SigningKey::parse(KEY.to_pkcs8_der().unwrap().as_bytes()).unwrap();
        assert_eq!(format!("{key:?}"), "SigningKey(***)");
    }

    /// The `rsa` crate knows nothing of the way we sign.
    #[cfg(feature = "mock")]
    #[test]
    fn another_implementation_accepts_our_signature() {
        use rsa::pkcs1v15::{Signature, VerifyingKey};
        use rsa::signature::Verifier as _;

        let key = SigningKey::parse(KEY.to_pkcs8_der().unwrap().as_bytes()).unwrap();
        let signature = STANDARD.decode(key.sign("消息".as_bytes())).unwrap();
        let theirs = VerifyingKey::<Sha256>::new(KEY.to_public_key());
        theirs
            .verify("消息".as_bytes(), &Signature::try_from(signature.as_slice()).unwrap())
            .unwrap();
    }

    /// `openssl genrsa 1024`, used nowhere.
    const SHORT: &str = "\
        MIICdgIBADANBgkqhkiG9w0BAQEFAASCAmAwggJcAgEAAoGBAMhuvKLCusBrtUVTFclykrInHJmQny9CWVU7a7IR\
        nyrhGGM9/JOWNAAAEOweHt4+6BKCLUtZgeGyRphLvFr7Jho5uuOy91Hc1uyXTopM8Ru+XWqoDwSdT2xgeMJCddS7\
        yidbdPuh2NHiWA8MH56SkMCwopL7XMC1+qRD45/hdRJVAgMBAAECgYBOGmjDe+JODSqsAv5ga5cieP86EBMX1WD+\
        R5Nl5lwB14krUwJTeJp2zY/KksowjI7ed3+y9wQXsOK1gf257lgf+zUhdGg29wPBQl0nUO9TCWdbKMwL8YGikfUj\
        Y+Pl9tZvmyrkkh0ZS2OA3Ho2tqr9D1I+RVs5IOlQc1MVcV1cgQJBAPC/LDWzNNMxJoLZ68u3UJnj1Rt769hpUHdM\
        +lXbpGxL01VocjB+nb6t6DFaKlsb0f8dWZ5fTDxg1e8Sf9lDcIUCQQDVIa6cySRSsoB4WnWBLeKNSOuyO9aIfy3R\
        ef81NItDcLX2/M0oHkjTFN4jfybcR2ekrR/yGKLOTS/SL2fhrCuRAkEAvbF0rU9qRSpKNPpu8BKeQNOjXEeVeuzo\
        iUgvTC2H7gkFGRv2Nb3en5s6BIEONMHEAqdmsQJX+I84omrKMDASXQJABw9tlF4JaP/mx5XfjJ7zgVCoFihrS+xC\
        nUzYSm/qKRrDvGHVff261ds8HJrqs6Nd6JOfmkp8oi7mZaUSYORuMQJAXFgLGof49sdzQvKujXEpJt7KC2RztyXs\
        Cw807VmBs4lIGMhMr5zbawfVozgtDrSsWxRZ9rdU64KmErUw5cPpPg==";
    const SHORT_PUBLIC: &str = "\
        MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDIbryiwrrAa7VFUxXJcpKyJxyZkJ8vQllVO2uyEZ8q4RhjPfyT\
        ljQAABDsHh7ePugSgi1LWYHhskaYS7xa+yYaObrjsvdR3Nbsl06KTPEbvl1qqA8EnU9sYHjCQnXUu8onW3T7odjR\
        4lgPDB+ekpDAsKKS+1zAtfqkQ+Of4XUSVQIDAQAB";
}
