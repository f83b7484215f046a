//! The forms in which people have keys and certificates: the text or file becomes DER, and what is
//! refused is named for what it is.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rsa::pkcs8::ObjectIdentifier;
use rsa::pkcs8::der::asn1::AnyRef;
use rsa::pkcs8::der::{Decode as _, SliceReader, Tag, Tagged as _};

use crate::domain::charset::is_utf16;
use crate::error::debug_like_display;

/// The shortest RSA key that is accepted, in bits.
pub const RSA_BITS_MIN: usize = 2048;

/// Why a key is not accepted. Never holds the input.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum KeyError {
    /// Nothing but white space.
    Empty,
    /// It is not this.
    NotA(&'static str),
    /// It is something that paygate recognises: what it is, and what to do.
    Mistaken(&'static str),
    /// So many bits are under [`RSA_BITS_MIN`].
    TooShort(usize),
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyError::Empty => f.write_str("is empty"),
            KeyError::NotA(what) => write!(f, "is not {what}"),
            KeyError::Mistaken(words) => f.write_str(words),
            KeyError::TooShort(bits) => {
                write!(f, "has {bits} bits; at least {RSA_BITS_MIN} are required")
            }
        }
    }
}

debug_like_display!(KeyError);

impl std::error::Error for KeyError {}

/// What a text or file should hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    PrivateKey,
    PublicKey,
    Certificate,
}

impl Wanted {
    /// The end of the label of its PEM block.
    fn label(self) -> &'static str {
        match self {
            Wanted::PrivateKey => "PRIVATE KEY",
            Wanted::PublicKey => "PUBLIC KEY",
            Wanted::Certificate => "CERTIFICATE",
        }
    }

    /// The error of DER that is not what is wanted, or that is and cannot be used.
    pub(crate) fn refusal(self, der: &[u8]) -> KeyError {
        match Found::in_der(der) {
            Some(found) => self.instead_of(found),
            None => KeyError::NotA(match self {
                Wanted::PrivateKey => "an RSA private key (PKCS#1 or PKCS#8)",
                Wanted::PublicKey => "an RSA public key",
                Wanted::Certificate => "an X.509 certificate",
            }),
        }
    }

    /// The error of something else in its place, or of what is wanted in no form to use.
    fn instead_of(self, found: Found) -> KeyError {
        KeyError::Mistaken(words(found, self))
    }
}

/// What a text or file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    PrivateKey,
    PublicKey,
    Certificate,
    CertificateRequest,
    EllipticKey,
    EncryptedKey,
    OpenSshKey,
    Pkcs12,
    Pkcs7,
    CutOff,
}

/// What is found, and what to do to have what is wanted.
fn words(found: Found, wanted: Wanted) -> &'static str {
    match (found, wanted) {
        (Found::CutOff, _) => "is cut off: copy the whole of it",
        (Found::EllipticKey, _) => {
            "is an elliptic-curve key (EC or SM2): WeChat Pay and Alipay verify RSA; make an RSA \
             key of 2048 bits"
        }
        (found, Wanted::PrivateKey) => instead_of_private_key(found),
        (found, Wanted::PublicKey) => instead_of_public_key(found),
        (found, Wanted::Certificate) => instead_of_certificate(found),
    }
}

fn instead_of_private_key(found: Found) -> &'static str {
    match found {
        Found::PublicKey => {
            "is a public key, not a private one: set the private key (WeChat Pay: \
             apiclient_key.pem; Alipay: the app's private key)"
        }
        Found::Certificate => {
            "is a certificate, not a private key: set the key that was made with it (WeChat Pay: \
             apiclient_key.pem)"
        }
        Found::CertificateRequest => {
            "is a certificate request (CSR), not a private key: set the key that was made with it"
        }
        Found::EncryptedKey => {
            "is an encrypted private key: remove its password (openssl pkey -in FILE -out key.pem)"
        }
        Found::OpenSshKey => {
            "is a key of OpenSSH: convert a copy of it (ssh-keygen -p -m PKCS8 -f FILE)"
        }
        Found::Pkcs12 => {
            "is a PKCS#12 file (.p12 or .pfx): take the key out of it (openssl pkcs12 -in FILE \
             -nodes -nocerts), or set the .pem file beside it"
        }
        Found::Pkcs7 => {
            "is a PKCS#7 file (.p7b), which holds certificates and no key: set the private key"
        }
        Found::PrivateKey | Found::EllipticKey | Found::CutOff => DAMAGED,
    }
}

fn instead_of_public_key(found: Found) -> &'static str {
    match found {
        Found::PrivateKey => {
            "is a private key, not a public one: set the provider's public key, which the \
             provider's console shows"
        }
        Found::Certificate => {
            "is a certificate, not a public key: set the provider's public key (WeChat Pay: \
             pub_key.pem), or leave it out and set the certificates"
        }
        Found::CertificateRequest => {
            "is a certificate request (CSR), not a public key: set the provider's public key"
        }
        Found::EncryptedKey => {
            "is an encrypted private key, not a public one: set the provider's public key"
        }
        Found::OpenSshKey => "is a key of OpenSSH, not the provider's: set its public key",
        Found::Pkcs12 => {
            "is a PKCS#12 file (.p12 or .pfx), which holds no key of the provider's: set the \
             provider's public key"
        }
        Found::Pkcs7 => {
            "is a PKCS#7 file (.p7b), which holds certificates: set the provider's public key"
        }
        Found::PublicKey | Found::EllipticKey | Found::CutOff => DAMAGED,
    }
}

fn instead_of_certificate(found: Found) -> &'static str {
    match found {
        Found::PrivateKey | Found::OpenSshKey => {
            "is a private key, not a certificate: set the certificate that was issued for it"
        }
        Found::PublicKey => {
            "is a public key, not a certificate: set the certificate's file (.pem or .crt)"
        }
        Found::CertificateRequest => {
            "is a certificate request (CSR), not a certificate: set the one that was issued for it"
        }
        Found::EncryptedKey => {
            "is an encrypted private key, not a certificate: set the certificate that was issued \
             for it"
        }
        Found::Pkcs12 => {
            "is a PKCS#12 file (.p12 or .pfx): take the certificate out of it (openssl pkcs12 -in \
             FILE -nokeys), or set the .pem file beside it"
        }
        Found::Pkcs7 => {
            "is a PKCS#7 file (.p7b): take the certificates out of it (openssl pkcs7 -in FILE \
             -print_certs)"
        }
        Found::Certificate | Found::EllipticKey | Found::CutOff => DAMAGED,
    }
}

impl Found {
    /// By the label of a PEM block.
    fn by_label(label: &str) -> Option<Found> {
        Some(match label {
            "ENCRYPTED PRIVATE KEY" => Found::EncryptedKey,
            "OPENSSH PRIVATE KEY" => Found::OpenSshKey,
            "EC PRIVATE KEY" | "EC PARAMETERS" | "SM2 PRIVATE KEY" => Found::EllipticKey,
            "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => Found::CertificateRequest,
            "PKCS7" => Found::Pkcs7,
            "PRIVATE KEY" | "RSA PRIVATE KEY" => Found::PrivateKey,
            "PUBLIC KEY" | "RSA PUBLIC KEY" => Found::PublicKey,
            "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE" => Found::Certificate,
            _ => return None,
        })
    }

    /// By the outer two levels of DER (RFC 5208, 5280, 5915, 7292, 8017).
    fn in_der(der: &[u8]) -> Option<Found> {
        // The indefinite length of BER, in which Java wrote PKCS#12.
        if der.starts_with(&[0x30, 0x80, 0x02, 0x01, 0x03]) {
            return Some(Found::Pkcs12);
        }
        if let [0x30, 0x82, high, low, rest @ ..] = der
            && rest.len() < usize::from(u16::from_be_bytes([*high, *low]))
        {
            return Some(Found::CutOff);
        }
        let [first, second] = two_parts(AnyRef::from_der(der).ok()?)?;
        match (first.tag(), second.tag()) {
            (Tag::ObjectIdentifier, _) => Some(Found::Pkcs7),
            (Tag::Integer, Tag::Sequence) if first.value() == [3] => Some(Found::Pkcs12),
            (Tag::Integer, Tag::Sequence) => Some(match is_elliptic(second)? {
                true => Found::EllipticKey,
                false => Found::PrivateKey,
            }),
            (Tag::Integer, Tag::OctetString) => Some(Found::EllipticKey),
            (Tag::Integer, Tag::Integer) if first.value() == [0] => Some(Found::PrivateKey),
            (Tag::Integer, Tag::Integer) => Some(Found::PublicKey),
            (Tag::Sequence, Tag::OctetString) => Some(Found::EncryptedKey),
            (Tag::Sequence, Tag::BitString) => Some(match is_elliptic(first)? {
                true => Found::EllipticKey,
                false => Found::PublicKey,
            }),
            (Tag::Sequence, Tag::Sequence) => Some(signed(first)),
            _ => None,
        }
    }
}

/// A certificate or a request for one: the request's first part is the version 0, and the
/// subject follows.
fn signed(content: AnyRef<'_>) -> Found {
    match two_parts(content) {
        Some([version, subject]) if version.value() == [0] && !has_algorithm(subject) => {
            Found::CertificateRequest
        }
        _ => Found::Certificate,
    }
}

fn has_algorithm(sequence: AnyRef<'_>) -> bool {
    algorithm(sequence).is_some()
}

fn algorithm(sequence: AnyRef<'_>) -> Option<ObjectIdentifier> {
    ObjectIdentifier::decode(&mut SliceReader::new(sequence.value()).ok()?).ok()
}

fn is_elliptic(identifier: AnyRef<'_>) -> Option<bool> {
    let algorithm = algorithm(identifier)?.to_string();
    Some(ELLIPTIC_OIDS.iter().any(|start| algorithm.starts_with(start)))
}

/// The first two parts of a sequence.
fn two_parts(sequence: AnyRef<'_>) -> Option<[AnyRef<'_>; 2]> {
    sequence.tag().assert_eq(Tag::Sequence).ok()?;
    let mut reader = SliceReader::new(sequence.value()).ok()?;
    let first = AnyRef::decode(&mut reader).ok()?;
    Some([first, AnyRef::decode(&mut reader).ok()?])
}

/// The DER behind any of the accepted forms of `wanted`: of PEM the first block of its kind.
pub(crate) fn to_der(input: &[u8], wanted: Wanted) -> Result<Vec<u8>, KeyError> {
    if is_utf16(input) {
        return Err(KeyError::Mistaken("is in UTF-16: save it as UTF-8"));
    }
    // DER of over 127 bytes, as every key and certificate has, is no UTF-8: a byte from 0x81 on
    // stands behind its first one, 0x30.
    let Ok(text) = std::str::from_utf8(input) else { return Ok(input.to_vec()) };
    let written = trimmed(text);
    let text = written.replace("\\r", "").replace("\\n", "\n").replace('\r', "");
    let text = trimmed(&text);
    if text.is_empty() {
        return Err(KeyError::Empty);
    }
    let blocks = pem_blocks(text);
    if let Some(first) = blocks.first() {
        let block = blocks.iter().find(|block| block.label.ends_with(wanted.label()));
        return block.unwrap_or(first).der(wanted);
    }
    if text.contains("BEGIN ") || text.contains("--") {
        return Err(KeyError::Mistaken(
            "has no BEGIN line with five dashes on either side: copy the whole file anew",
        ));
    }
    if is_path(written) {
        return Err(KeyError::Mistaken(
            "is a path, not the file's text: put the text here, or the path into the variable \
             whose name ends in _FILE",
        ));
    }
    let der = from_base64(text).ok_or(KeyError::NotA("PEM, base64 or DER"))?;
    if der.starts_with(BEGIN.as_bytes()) {
        return Err(KeyError::Mistaken("is PEM in base64 once more: decode it"));
    }
    Ok(der)
}

/// A text without what tools put around it.
fn trimmed(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || ['\u{feff}', '"', '\''].contains(&c))
}

/// A block of PEM.
struct PemBlock<'a> {
    label: &'a str,
    /// What stands between the two lines; `None` without an END line.
    body: Option<&'a str>,
}

impl PemBlock<'_> {
    fn der(&self, wanted: Wanted) -> Result<Vec<u8>, KeyError> {
        let found = Found::by_label(self.label);
        let is_wanted = self.label.ends_with(wanted.label());
        match found {
            Some(Found::PrivateKey | Found::PublicKey | Found::Certificate) | None if is_wanted => {
            }
            Some(found) => return Err(wanted.instead_of(found)),
            None => return Err(KeyError::NotA("a PEM block of the right kind")),
        }
        let cut_off = KeyError::Mistaken(
            "has no END line with five dashes on either side: copy the whole file anew",
        );
        let body = self.body.ok_or(cut_off)?;
        // RFC 1421, section 4.6: how OpenSSL encrypts PKCS#1.
        if body.contains("ENCRYPTED") {
            return Err(wanted.instead_of(Found::EncryptedKey));
        }
        from_base64(body).ok_or(KeyError::Mistaken(
            "is PEM that is damaged between its BEGIN and END lines: copy the whole file anew",
        ))
    }
}

/// Every block, also one that is not complete.
fn pem_blocks(text: &str) -> Vec<PemBlock<'_>> {
    let block = |(at, _): (usize, &str)| {
        let (label, rest) = text.get(at + BEGIN.len()..)?.split_once(DASHES)?;
        if label.contains(['-', '\n']) {
            return None;
        }
        let body = rest.split_once(END).map(|(body, _)| body);
        Some(PemBlock { label, body: body.filter(|body| !body.contains("BEGIN ")) })
    };
    text.match_indices(BEGIN).filter_map(block).collect()
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    let compact: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    STANDARD.decode(compact).ok()
}

/// Whether a text is the name of a file rather than its content: the base64 of DER begins with M.
fn is_path(text: &str) -> bool {
    let is_drive = matches!(text.as_bytes(), [letter, b':', b'\\' | b'/', ..]
        if letter.is_ascii_alphabetic());
    let has_start = ["/", "./", "../", "~/", "file:"].iter().any(|start| text.starts_with(start));
    let has_end = FILE_ENDS.iter().any(|end| text.to_ascii_lowercase().ends_with(end));
    let is_short = text.len() <= PATH_BYTES_MAX && !text.contains('\n');
    is_short && !text.starts_with('M') && (is_drive || has_start || has_end)
}

/// Of what is wanted by its form, and cannot be read or used.
const DAMAGED: &str = "is damaged: copy the whole file anew";

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// What the algorithms of curves begin with: ANSI X9.62, and Edwards curves (RFC 8410).
const ELLIPTIC_OIDS: [&str; 2] = ["1.2.840.10045.", "1.3.101."];

/// The ends of the names of files that hold keys.
const FILE_ENDS: [&str; 9] =
    [".pem", ".key", ".crt", ".cer", ".der", ".p12", ".pfx", ".txt", ".pub"];

/// Longer than every path, and shorter than every key.
const PATH_BYTES_MAX: usize = 256;
