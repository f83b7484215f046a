//! One merchant account's line to WeChat Pay: signs what goes out, verifies what comes back.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};

use super::platform_certificates::{Keyring, Want, plausible};
use super::sign::{Outgoing, Signed, Unverified};
use crate::domain::time::Millis;
use crate::provider::clock_skew;
use crate::provider::clock_skew::Skew;
use crate::provider::keys::VerifyingKey;
use crate::provider::wxpay::{Account, Verification, certificates};
use crate::provider::{CODE_CHARS_MAX, Call, Failure, MESSAGE_CHARS_MAX, tidied};
use crate::secret::random_text;

/// An account, and the platform certificates it knows.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) account: Arc<Account>,
    keyring: Keyring,
}

/// What WeChat Pay answered.
#[derive(Debug)]
pub(super) enum Reply {
    /// 2xx, signed by WeChat Pay.
    Verified {
        /// The status.
        status: StatusCode,
        /// The signed bytes.
        body: Bytes,
    },
    /// Any other status. WeChat Pay signs none of these: only TLS vouches for them.
    Refused(Refusal),
}

/// An unsigned answer: `{"code", "message"}` where it has a body.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    /// As it was sent; empty where none was.
    pub(super) code: String,
    pub(super) message: String,
    /// The answer's `Date`.
    pub(super) date: Option<Millis>,
    /// By the answer's `Date`, when it is far from our time.
    skew: Option<Skew>,
}

impl Line {
    pub(super) fn new(account: Arc<Account>) -> Line {
        Line { account, keyring: Keyring::default() }
    }

    /// Sends `outgoing`, and reads the status first, then the signature.
    ///
    /// Nothing is sent while no certificate is known that the answer could be verified with.
    ///
    /// # Errors
    ///
    /// [`Failure::NotSent`], or [`Failure::Unknown`] when the outcome is; a success that nobody
    /// signed is one that may not have happened.
    pub(super) async fn exchange(
        &self,
        outgoing: Outgoing,
        call: Call<'_>,
    ) -> Result<Reply, Failure> {
        let wire = Wire { call, ends: Instant::now() + call.timeout };
        self.prepare(&wire).await.map_err(Failure::NotSent)?;
        let response = self.send(outgoing, &wire).await?;
        let status = response.status();
        if !status.is_success() {
            return Ok(Reply::Refused(Refusal::read(&response, wire.now())));
        }
        match self.verify((response.headers(), response.body()), &wire).await {
            Ok(()) => Ok(Reply::Verified { status, body: response.into_body() }),
            Err(why) => Err(unknown(format!("HTTP {status}, not verified: {why}"))),
        }
    }

    async fn send(&self, outgoing: Outgoing, wire: &Wire<'_>) -> Result<Response<Bytes>, Failure> {
        let request = outgoing
            .signed(&self.account, wire.now(), &random_text())
            .map_err(|error| Failure::NotSent(format!("the request cannot be written: {error}")))?;
        let left = wire.ends.saturating_duration_since(Instant::now());
        Ok(wire.call.transport.send(request, left).await?)
    }

    /// Whether WeChat Pay signed a notification. Asks for certificates only when its serial number
    /// is unknown, plausible, and the last download a minute ago.
    pub(super) async fn vouches(
        &self,
        notification: (&HeaderMap, &[u8]),
        call: Call<'_>,
    ) -> Result<(), Unverified> {
        let wire = Wire { call, ends: Instant::now() + call.timeout };
        self.verify(notification, &wire).await
    }

    /// Whether a key is known under exactly this serial.
    pub(super) fn knows(&self, serial: &str, now: Millis) -> bool {
        self.key(serial, now).is_some()
    }

    async fn verify(
        &self,
        (headers, body): (&HeaderMap, &[u8]),
        wire: &Wire<'_>,
    ) -> Result<(), Unverified> {
        let signed = Signed::read(headers)?;
        if self.key(signed.serial, wire.now()).is_none() {
            self.learn(signed.serial, wire).await;
        }
        let key = self.key(signed.serial, wire.now()).ok_or(Unverified::Serial)?;
        signed.check(body, &key, wire.now())
    }

    /// The key under exactly this serial. A merchant that changes from certificates to WeChat
    /// Pay's public key sees both kinds for a while (WeChat Pay V3, "switch to the public key").
    fn key(&self, serial: &str, now: Millis) -> Option<VerifyingKey> {
        match &self.account.verification {
            Verification::PublicKey { id, key } if id == serial => Some(key.clone()),
            Verification::PublicKey { .. } | Verification::Certificates => {
                self.keyring.key(serial, now)
            }
        }
    }

    /// In certificate mode: sees to it that there is a certificate before anything is sent.
    async fn prepare(&self, wire: &Wire<'_>) -> Result<(), String> {
        if matches!(self.account.verification, Verification::PublicKey { .. }) {
            return Ok(());
        }
        let turn = if self.keyring.usable(wire.now()) {
            // Who finds another one refreshing goes on with what is known.
            self.keyring.turn_now()
        } else {
            timeout_at(wire.ends, self.keyring.turn()).await.ok()
        };
        if turn.is_some() && self.keyring.due(Want::Any, wire.now()) {
            self.download(wire).await;
        }
        drop(turn);
        if self.keyring.usable(wire.now()) {
            Ok(())
        } else {
            let why = self.keyring.why();
            Err(format!(
                "no platform certificate to verify answers with could be downloaded: {why}"
            ))
        }
    }

    /// An answer is signed under `serial`, which is unknown: new certificates may have it.
    async fn learn(&self, serial: &str, wire: &Wire<'_>) {
        if !plausible(serial) {
            return;
        }
        // Another one's download may bring it meanwhile.
        let Ok(_turn) = timeout_at(wire.ends, self.keyring.turn()).await else { return };
        let is_known = self.key(serial, wire.now()).is_some();
        if !is_known && self.keyring.due(Want::UnknownSerial, wire.now()) {
            self.download(wire).await;
        }
    }

    /// Downloads the platform certificates. Needs the keyring's turn.
    async fn download(&self, wire: &Wire<'_>) {
        self.keyring.started(wire.now());
        let outcome = match self.send(Outgoing::get("/v3/certificates".to_owned()), wire).await {
            Ok(response) => self.read_certificates(&response, wire.now()),
            Err(failure) => Err(format!("{failure:?}")),
        };
        if let Err(reason) = outcome {
            let mch_id = &self.account.mch_id;
            tracing::warn!(%mch_id, %reason, "platform certificates were not downloaded");
            self.keyring.failed(reason);
        }
    }

    /// The first list is trusted because only holders of the APIv3 key can seal one
    /// (`AEAD_AES_256_GCM`); every list, the first included, must also be signed with a key that
    /// is known or that it brings.
    fn read_certificates(&self, response: &Response<Bytes>, now: Millis) -> Result<(), String> {
        let status = response.status();
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Err(Refusal::read(response, now).to_string());
        }
        self.keyring.refused(now);
        if status != StatusCode::OK {
            return Err(Refusal::read(response, now).to_string());
        }
        let list = certificates::read_download(response.body(), &self.account.api_v3_key, now)?;
        let signed = Signed::read(response.headers()).map_err(|why| why.to_string())?;
        let brought = list.iter().find(|it| it.serial_no == signed.serial);
        let key = self.key(signed.serial, now).or_else(|| brought.map(|it| it.key.clone()));
        key.ok_or(Unverified::Serial)
            .and_then(|key| signed.check(response.body(), &key, now))
            .map_err(|why| why.to_string())?;
        self.keyring.keep(list, now);
        Ok(())
    }
}

/// A call, and when its time is over.
struct Wire<'a> {
    call: Call<'a>,
    ends: Instant,
}

impl Wire<'_> {
    fn now(&self) -> Millis {
        self.call.clock.now()
    }
}

impl Refusal {
    fn read(response: &Response<Bytes>, now: Millis) -> Refusal {
        #[derive(Default, Deserialize)]
        struct Body {
            #[serde(default)]
            code: String,
            #[serde(default)]
            message: String,
        }
        let body: Body = serde_json::from_slice(response.body()).unwrap_or_default();
        Refusal {
            status: response.status(),
            code: tidied(&body.code, CODE_CHARS_MAX),
            message: tidied(&body.message, MESSAGE_CHARS_MAX),
            date: clock_skew::date(response.headers()),
            skew: Skew::read(response.headers(), now),
        }
    }

    /// The code without underscores: WeChat Pay writes most of them both ways
    /// (`ORDER_NOT_EXIST`, `ORDERNOTEXIST`).
    pub(super) fn bare_code(&self) -> String {
        self.code.replace('_', "")
    }

    /// Whether the signature was refused for the time it names: what WeChat Pay finds wrong first
    /// (WeChat Pay V3, signing FAQ, "the timestamp must be within 5 minutes").
    pub(super) fn is_about_time(&self) -> bool {
        let names_it = ["timestamp", "时间戳", "5分钟"].iter().any(|it| self.message.contains(it));
        self.bare_code() == "SIGNERROR" && (self.skew.is_some() || names_it)
    }

    /// Whether it says that there were too many calls (WeChat Pay V3, common error codes; the
    /// pages name it `FREQUENCY_LIMITED` and `RATELIMIT_EXCEEDED`).
    pub(super) fn is_throttled(&self) -> bool {
        let code = self.bare_code();
        self.status == StatusCode::TOO_MANY_REQUESTS
            || ["FREQUENCYLIMITED", "FREQUENCYLIMITEXCEED", "RATELIMITEXCEEDED"]
                .contains(&code.as_str())
    }

    /// The call was throttled, or nothing is known but what it said.
    pub(super) fn failure(self) -> Failure {
        if self.is_throttled() {
            return Failure::Throttled { code: self.code, message: self.message };
        }
        self.unknown()
    }

    /// Nothing is known but what it said.
    pub(super) fn unknown(self) -> Failure {
        let reason = self.to_string();
        let said = (!self.code.is_empty()).then_some((self.code, self.message));
        Failure::OutcomeUnknown { reason, said }
    }

    pub(super) fn refused(self) -> Failure {
        Failure::Refused { code: self.code, message: self.message }
    }

    pub(super) fn taken(self) -> Failure {
        Failure::NumberInUse { code: self.code, message: self.message }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP {} {}", self.status.as_u16(), self.code)?;
        match self.skew {
            _ if self.is_about_time() => write!(f, ": {}", Skew::told(self.skew)),
            Some(skew) => write!(f, ": {skew}"),
            None => Ok(()),
        }
    }
}

/// An outcome that is unknown for `reason`.
pub(super) fn unknown(reason: impl Into<String>) -> Failure {
    Failure::OutcomeUnknown { reason: reason.into(), said: None }
}
