//! WeChat Pay's signature on a response or a notification, and its verification (WeChat Pay V3,
//! "how to verify the signature").

use std::fmt;

use http::HeaderMap;

use crate::domain::time::Millis;
use crate::provider::clock_skew::Skew;
use crate::provider::keys::VerifyingKey;

/// The signature headers of a response or a notification.
#[derive(Clone, Copy, Debug)]
pub(super) struct ResponseSignature<'a> {
    /// Names the key: `PUB_KEY_ID_…`, or a certificate's serial number.
    pub(super) serial: &'a str,
    timestamp: &'a str,
    nonce: &'a str,
    signature: &'a str,
}

impl<'a> ResponseSignature<'a> {
    /// Reads the headers.
    ///
    /// # Errors
    ///
    /// [`VerificationError::Header`] for one that is missing, repeated or no text.
    pub(super) fn parse(
        headers: &'a HeaderMap,
    ) -> Result<ResponseSignature<'a>, VerificationError> {
        Ok(ResponseSignature {
            serial: single_header(headers, SERIAL)?,
            timestamp: single_header(headers, "wechatpay-timestamp")?,
            nonce: single_header(headers, "wechatpay-nonce")?,
            signature: single_header(headers, "wechatpay-signature")?,
        })
    }

    /// Whether `key` signed exactly these bytes, at most five minutes from `now`
    /// (WeChat Pay V3, "how to verify the signature"). The signature is verified first, so that a
    /// time that is off is surely WeChat Pay's.
    ///
    /// # Errors
    ///
    /// [`VerificationError::Time`], [`VerificationError::Signature`] and
    /// [`VerificationError::Clock`].
    pub(super) fn verify(
        &self,
        body: &[u8],
        key: &VerifyingKey,
        now: Millis,
    ) -> Result<(), VerificationError> {
        let digits = self.timestamp.bytes().all(|byte| byte.is_ascii_digit());
        let at =
            self.timestamp.parse::<i64>().ok().filter(|_| digits).ok_or(VerificationError::Time)?;
        let mut message = format!("{}\n{}\n", self.timestamp, self.nonce).into_bytes();
        message.extend_from_slice(body);
        message.push(b'\n');
        if !key.verifies(&message, self.signature) {
            // A probe has a name of its own for the operator only: it fails like any forgery.
            let is_probe = self.signature.starts_with(PROBE);
            return Err(if is_probe {
                VerificationError::Probe
            } else {
                VerificationError::Signature
            });
        }
        Skew::between(now, at).map_or(Ok(()), |skew| Err(VerificationError::Clock(skew)))
    }
}

fn single_header<'a>(
    headers: &'a HeaderMap,
    name: &'static str,
) -> Result<&'a str, VerificationError> {
    let mut values = headers.get_all(name).iter();
    match (values.next().and_then(|value| value.to_str().ok()), values.next()) {
        (Some(value), None) => Ok(value),
        _ => Err(VerificationError::Header(name)),
    }
}

/// Why a response or a notification is not verifiably WeChat Pay's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum VerificationError {
    /// This header is missing, repeated or no text.
    Header(&'static str),
    /// The timestamp is no number.
    Time,
    /// The timestamp is over five minutes off: our clock is wrong, or the message old.
    Clock(Skew),
    /// No key has this serial.
    Serial,
    /// The key did not sign the message.
    Signature,
    /// The key did not sign the message, and WeChat Pay marks it so: it probes whether we verify
    /// signatures.
    Probe,
}

impl fmt::Display for VerificationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            VerificationError::Header(name) => {
                write!(f, "the header {name} is missing or unreadable")
            }
            VerificationError::Time => f.write_str("the signature's time is no time"),
            VerificationError::Clock(skew) => write!(f, "{skew}, or it was signed then"),
            VerificationError::Serial => {
                f.write_str("no key is known under the signature's serial")
            }
            VerificationError::Signature => f.write_str("the signature is wrong"),
            VerificationError::Probe => {
                f.write_str("the signature is WeChat Pay's probe, wrong on purpose")
            }
        }
    }
}

/// The header that names the key.
pub(super) const SERIAL: &str = "wechatpay-serial";

/// How deliberately wrong signatures begin (WeChat Pay V3, "signature probes").
const PROBE: &str = "WECHATPAY/SIGNTEST/";
