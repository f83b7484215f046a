//! Signatures of WeChat Pay V3: ours on requests, WeChat Pay's on answers.

use std::fmt;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, USER_AGENT};
use http::{Method, Request};

use crate::domain::time::Millis;
use crate::provider::clock_skew::Skew;
use crate::provider::keys::VerifyingKey;
use crate::provider::transport;
use crate::provider::wxpay::{Account, Verification};

/// A request before it is signed.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    pub(super) method: Method,
    /// Path and query below the account's base URL, as they are transmitted.
    pub(super) target: String,
    /// JSON; empty for GET.
    pub(super) body: String,
}

impl Outgoing {
    pub(super) fn get(target: String) -> Outgoing {
        Outgoing { method: Method::GET, target, body: String::new() }
    }

    pub(super) fn post(target: String, body: String) -> Outgoing {
        Outgoing { method: Method::POST, target, body }
    }

    /// The request, signed at `now` with `nonce` (WeChat Pay V3, "how to build the signature").
    ///
    /// # Errors
    ///
    /// When a configured text does not fit into a header or a URL.
    pub(super) fn signed(
        self,
        account: &Account,
        now: Millis,
        nonce: &str,
    ) -> Result<Request<Bytes>, http::Error> {
        let base = &account.base_url;
        // What is signed is what is transmitted: a base URL's own path is part of it.
        let target = format!("{}{}", base.path().trim_end_matches('/'), self.target);
        let timestamp = now.seconds();
        let method = &self.method;
        let message = format!("{method}\n{target}\n{timestamp}\n{nonce}\n{}\n", self.body);
        let signature = account.signing.sign(message.as_bytes());
        let authorization = format!(
            "WECHATPAY2-SHA256-RSA2048 mchid=\"{}\",nonce_str=\"{nonce}\",\
             timestamp=\"{timestamp}\",serial_no=\"{}\",signature=\"{signature}\"",
            account.mch_id, account.serial_no
        );
        let mut request = Request::builder()
            .method(self.method)
            .uri(format!("{}{target}", base.origin().ascii_serialization()))
            .header(AUTHORIZATION, authorization)
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, transport::USER_AGENT);
        if !self.body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let Verification::PublicKey { id, .. } = &account.verification {
            // Asks for an answer that is signed with this key.
            request = request.header(SERIAL, id);
        }
        request.body(Bytes::from(self.body))
    }
}

/// The signature of an answer or a notification, as its headers tell it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signed<'a> {
    /// Names the key: `PUB_KEY_ID_…`, or a certificate's serial number.
    pub(super) serial: &'a str,
    timestamp: &'a str,
    nonce: &'a str,
    signature: &'a str,
}

impl<'a> Signed<'a> {
    /// # Errors
    ///
    /// [`Unverified::Header`] for one that is missing, repeated or no text.
    pub(super) fn read(headers: &'a HeaderMap) -> Result<Signed<'a>, Unverified> {
        Ok(Signed {
            serial: only(headers, SERIAL)?,
            timestamp: only(headers, "wechatpay-timestamp")?,
            nonce: only(headers, "wechatpay-nonce")?,
            signature: only(headers, "wechatpay-signature")?,
        })
    }

    /// Whether `key` signed exactly these bytes, at most five minutes from `now`
    /// (WeChat Pay V3, "how to verify the signature"). The signature comes first, so that a time
    /// that is off is surely WeChat Pay's.
    ///
    /// # Errors
    ///
    /// [`Unverified::Time`], [`Unverified::Signature`] and [`Unverified::Clock`].
    pub(super) fn check(
        &self,
        body: &[u8],
        key: &VerifyingKey,
        now: Millis,
    ) -> Result<(), Unverified> {
        let digits = self.timestamp.bytes().all(|byte| byte.is_ascii_digit());
        let at = self.timestamp.parse::<i64>().ok().filter(|_| digits).ok_or(Unverified::Time)?;
        let mut message = format!("{}\n{}\n", self.timestamp, self.nonce).into_bytes();
        message.extend_from_slice(body);
        message.push(b'\n');
        if !key.verifies(&message, self.signature) {
            // It has another name for the operator alone: it fails like any other.
            let is_probe = self.signature.starts_with(PROBE);
            return Err(if is_probe { Unverified::Probe } else { Unverified::Signature });
        }
        Skew::between(now, at).map_or(Ok(()), |skew| Err(Unverified::Clock(skew)))
    }
}

fn only<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a str, Unverified> {
    let mut values = headers.get_all(name).iter();
    match (values.next().and_then(|value| value.to_str().ok()), values.next()) {
        (Some(value), None) => Ok(value),
        _ => Err(Unverified::Header(name)),
    }
}

/// Why an answer or a notification counts as nobody's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unverified {
    /// This header is missing, repeated or no text.
    Header(&'static str),
    /// The timestamp is no number.
    Time,
    /// The timestamp is over five minutes off: our clock is wrong, or the message old.
    Clock(Skew),
    /// No key has this serial.
    Serial,
    /// The key did not sign this.
    Signature,
    /// Nor this, and WeChat Pay says so: it tries out whether signatures are verified.
    Probe,
}

impl fmt::Display for Unverified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unverified::Header(name) => write!(f, "the header {name} is missing or unreadable"),
            Unverified::Time => f.write_str("the signature's time is no time"),
            Unverified::Clock(skew) => write!(f, "{skew}, or it was signed then"),
            Unverified::Serial => f.write_str("no key is known under the signature's serial"),
            Unverified::Signature => f.write_str("the signature is wrong"),
            Unverified::Probe => {
                f.write_str("the signature is WeChat Pay's probe, wrong on purpose")
            }
        }
    }
}

const SERIAL: &str = "wechatpay-serial";

/// How deliberately wrong signatures begin (WeChat Pay V3, "signature probes").
const PROBE: &str = "WECHATPAY/SIGNTEST/";
