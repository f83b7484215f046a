//! The pieces a merchant's account is made of, wherever they stand.
//!
//! The default merchant's stand in variables, the others' in fields of `vk-pay-config` documents;
//! what is accepted is the same.

use x509_parser::parse_x509_certificate;

use super::mock_keys::is_mock_key;
use crate::config::problem::Wrong;
use crate::config::reader::Reader;
use crate::provider::keys::{KeyError, SigningKey, VerifyingKey, to_der};

/// One piece, by its name in either place.
pub(in crate::config) struct Piece {
    pub(in crate::config) variable: &'static str,
    /// Empty where vk-uni-pay has no such field.
    pub(in crate::config) field: &'static str,
}

/// A place where pieces stand.
pub(in crate::config) trait Pieces {
    /// Whether something stands there, be it ill.
    fn given(&self, piece: &Piece) -> bool;

    /// What stands there. What cannot be read was complained about.
    fn read(&mut self, piece: &Piece) -> Option<Vec<u8>>;

    /// Records what is wrong.
    fn wrong(&mut self, piece: &Piece, wrong: Wrong);
}

impl Pieces for Reader<'_> {
    fn given(&self, piece: &Piece) -> bool {
        Reader::given(self, piece.variable)
    }

    fn read(&mut self, piece: &Piece) -> Option<Vec<u8>> {
        self.bytes(piece.variable)
    }

    fn wrong(&mut self, piece: &Piece, wrong: Wrong) {
        Reader::wrong(self, piece.variable, wrong);
    }
}

/// Complains when a piece is absent.
pub(in crate::config) fn require(pieces: &mut dyn Pieces, piece: &Piece, wrong: impl Into<Wrong>) {
    if !pieces.given(piece) {
        pieces.wrong(piece, wrong.into());
    }
}

/// A piece of text, if it is there.
pub(in crate::config) fn text<T>(
    pieces: &mut dyn Pieces,
    piece: &Piece,
    parse: impl Fn(&str) -> Result<T, Wrong>,
) -> Option<T> {
    bytes(pieces, piece, |bytes| {
        let text = std::str::from_utf8(bytes).map_err(|_| "is not UTF-8")?;
        parse(text.trim_start_matches('\u{feff}').trim())
    })
}

/// A piece in any form, if it is there.
pub(in crate::config) fn bytes<T>(
    pieces: &mut dyn Pieces,
    piece: &Piece,
    parse: impl Fn(&[u8]) -> Result<T, Wrong>,
) -> Option<T> {
    let bytes = pieces.read(piece)?;
    parse(&bytes).map_err(|wrong| pieces.wrong(piece, wrong)).ok()
}

/// A merchant's private key.
pub(in crate::config) fn signing_key(pieces: &mut dyn Pieces, piece: &Piece) -> Option<SigningKey> {
    require(pieces, piece, "is required");
    bytes(pieces, piece, |bytes| {
        let key = SigningKey::parse(bytes).map_err(key_wrong)?;
        refuse_mock_key(key.fingerprint())?;
        Ok(key)
    })
}

/// A provider's public key: not the mock's, and not the merchant's own.
pub(in crate::config) fn verifying_key(
    pieces: &mut dyn Pieces,
    piece: &Piece,
    own: Option<&SigningKey>,
) -> Option<VerifyingKey> {
    bytes(pieces, piece, |bytes| {
        let key = VerifyingKey::parse(bytes).map_err(key_wrong)?;
        refuse_mock_key(key.fingerprint())?;
        if own.is_some_and(|own| own.fingerprint() == key.fingerprint()) {
            return Err("is the other half of the private key: the provider's is wanted".into());
        }
        Ok(key)
    })
}

/// The key of the first certificate in `bytes`.
pub(in crate::config) fn certificate_key(bytes: &[u8]) -> Result<VerifyingKey, KeyError> {
    let der = to_der(bytes, "CERTIFICATE")?;
    let (_, certificate) =
        parse_x509_certificate(&der).map_err(|_| KeyError::NotA("an X.509 certificate"))?;
    VerifyingKey::from_der(certificate.public_key().raw)
}

/// What is wrong with a key or certificate.
pub(in crate::config) fn key_wrong(error: KeyError) -> Wrong {
    error.to_string().into()
}

/// Live mode takes no key that anybody can read in paygate's source.
pub(in crate::config) fn refuse_mock_key(fingerprint: [u8; 32]) -> Result<(), Wrong> {
    if is_mock_key(fingerprint) {
        return Err("is a key of the simulated providers, which anybody can read".into());
    }
    Ok(())
}
