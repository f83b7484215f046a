//! The ids, keys and certificates of a merchant's account.
//!
//! The default merchant has them in variables, the others in fields of `vk-pay-config` documents.
//! The same forms are accepted in both.

use std::collections::BTreeMap;

use crate::config::certificates::CertificateEnd;
use crate::config::parse;
use crate::config::problem::ProblemReason;
use crate::config::reader::Reader;
use crate::domain::channel::PayType;
use crate::provider::certificate::Certificate;
use crate::provider::key_form::KeyError;
use crate::provider::keys::{SigningKey, VerifyingKey};
use crate::provider::mock_keys::is_mock_key;

/// One id, key or certificate, by its name in either place.
pub(in crate::config) struct Credential {
    pub(in crate::config) variable: &'static str,
    /// The document's field; empty where vk-uni-pay has no such field.
    pub(in crate::config) field: &'static str,
}

/// A place that holds credentials: the variables, or a node of a document.
pub(in crate::config) trait Credentials {
    /// Whether the credential has a value, also an invalid one.
    fn is_set(&self, credential: &Credential) -> bool;

    /// The credential's bytes. A value that cannot be read is reported here.
    fn read(&mut self, credential: &Credential) -> Option<Vec<u8>>;

    /// Adds a problem of the credential.
    fn report(&mut self, credential: &Credential, reason: ProblemReason);

    /// Adds the certificate that the credential is.
    fn note_certificate(&mut self, credential: &Credential, end: CertificateEnd);
}

impl Credentials for Reader<'_> {
    fn is_set(&self, credential: &Credential) -> bool {
        Reader::is_set(self, credential.variable)
    }

    fn read(&mut self, credential: &Credential) -> Option<Vec<u8>> {
        self.bytes(credential.variable)
    }

    fn report(&mut self, credential: &Credential, reason: ProblemReason) {
        Reader::report(self, credential.variable, reason);
    }

    fn note_certificate(&mut self, credential: &Credential, end: CertificateEnd) {
        Reader::note_certificate(self, credential.variable.to_owned(), end);
    }
}

/// Reports a credential that has no value.
pub(in crate::config) fn require(
    credentials: &mut dyn Credentials,
    credential: &Credential,
    reason: impl Into<ProblemReason>,
) {
    if !credentials.is_set(credential) {
        credentials.report(credential, reason.into());
    }
}

/// Parses a credential as text; `None` when it is absent or invalid.
pub(in crate::config) fn parse_text<T>(
    credentials: &mut dyn Credentials,
    credential: &Credential,
    parse: impl Fn(&str) -> Result<T, ProblemReason>,
) -> Option<T> {
    parse_bytes(credentials, credential, |bytes| {
        parse(parse::utf8(bytes)?.trim_start_matches('\u{feff}').trim())
    })
}

/// Parses a credential as bytes; `None` when it is absent or invalid.
pub(in crate::config) fn parse_bytes<T>(
    credentials: &mut dyn Credentials,
    credential: &Credential,
    parse: impl Fn(&[u8]) -> Result<T, ProblemReason>,
) -> Option<T> {
    let bytes = credentials.read(credential)?;
    parse(&bytes).map_err(|reason| credentials.report(credential, reason)).ok()
}

/// Parses a certificate, or several, and notes when it `ends`.
pub(in crate::config) fn parse_certificate<T>(
    credentials: &mut dyn Credentials,
    credential: &Credential,
    parse: impl Fn(&[u8]) -> Result<T, ProblemReason>,
    ends: impl Fn(&[u8]) -> Result<CertificateEnd, ProblemReason>,
) -> Option<T> {
    let (parsed, end) =
        parse_bytes(credentials, credential, |bytes| Ok((parse(bytes)?, ends(bytes)?)))?;
    credentials.note_certificate(credential, end);
    Some(parsed)
}

/// The end of the first certificate in `bytes`.
pub(in crate::config) fn own_end(bytes: &[u8]) -> Result<CertificateEnd, ProblemReason> {
    Certificate::parse(bytes).map(|one| CertificateEnd::of(&one)).map_err(key_reason)
}

/// Reads the app id of each pay type: its own variable's, or else the one in `default`.
pub(in crate::config) fn read_app_ids(
    reader: &mut Reader<'_>,
    default: &'static str,
    names: &[(PayType, &'static str)],
) -> BTreeMap<PayType, String> {
    if !names.iter().any(|(_, name)| reader.is_set(name)) {
        reader.require(default, "is required");
    }
    let default = reader.optional(default, parse::identifier);
    let app_id = |(pay_type, name): &(PayType, &'static str)| {
        let own = reader.optional(name, parse::identifier);
        Some((*pay_type, own.or_else(|| default.clone())?))
    };
    names.iter().filter_map(app_id).collect()
}

/// Parses a merchant's private key, which is required.
pub(in crate::config) fn signing_key(
    credentials: &mut dyn Credentials,
    credential: &Credential,
) -> Option<SigningKey> {
    require(credentials, credential, "is required");
    parse_bytes(credentials, credential, |bytes| {
        let key = SigningKey::parse(bytes).map_err(key_reason)?;
        refuse_mock_key(key.fingerprint())?;
        Ok(key)
    })
}

/// Parses a provider's public key. The mock's, and the merchant's own, are invalid.
pub(in crate::config) fn verifying_key(
    credentials: &mut dyn Credentials,
    credential: &Credential,
    own: Option<&SigningKey>,
) -> Option<VerifyingKey> {
    parse_bytes(credentials, credential, |bytes| {
        let key = VerifyingKey::parse(bytes).map_err(key_reason)?;
        refuse_mock_key(key.fingerprint())?;
        if own.is_some_and(|own| own.fingerprint() == key.fingerprint()) {
            return Err(
                "is the other half of the private key: set the provider's public key".into()
            );
        }
        Ok(key)
    })
}

/// Refuses a certificate that is not the private key's.
pub(in crate::config) fn check_own_certificate(
    bytes: &[u8],
    own: Option<&SigningKey>,
) -> Result<(), ProblemReason> {
    let key =
        Certificate::parse(bytes).and_then(|certificate| certificate.key()).map_err(key_reason)?;
    if own.is_some_and(|own| own.fingerprint() != key.fingerprint()) {
        return Err(
            "is not the private key's certificate: set the two that were made together".into()
        );
    }
    Ok(())
}

/// Why a key or certificate is refused.
pub(in crate::config) fn key_reason(error: KeyError) -> ProblemReason {
    error.to_string().into()
}

/// Refuses the mock's keys: anybody can read them in paygate's source.
pub(in crate::config) fn refuse_mock_key(fingerprint: [u8; 32]) -> Result<(), ProblemReason> {
    if is_mock_key(fingerprint) {
        return Err("is a key of the simulated providers, which anybody can read".into());
    }
    Ok(())
}
