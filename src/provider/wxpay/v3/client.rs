//! The API client of one merchant account: it signs each request and verifies each response.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use tokio::time::Instant;

use super::platform_certificates::PlatformCertificates;
use super::refusal::ApiRefusal;
use super::request_signature::UnsignedRequest;
use super::response_signature::{ResponseSignature, VerificationError};
use crate::domain::time::Millis;
use crate::provider::keys::VerifyingKey;
use crate::provider::wxpay::{WxpayAccount, WxpayVerification};
use crate::provider::{Call, Failure};
use crate::secret::random_text;

/// An account, and the platform certificates that were downloaded for it.
#[derive(Debug)]
pub(super) struct ApiClient {
    pub(super) account: Arc<WxpayAccount>,
    pub(super) certificates: PlatformCertificates,
}

/// A response of WeChat Pay.
#[derive(Debug)]
pub(super) enum ApiResponse {
    /// 2xx, signed by WeChat Pay.
    Verified {
        /// The status.
        status: StatusCode,
        /// The signed bytes.
        body: Bytes,
    },
    /// Any other status. WeChat Pay signs none of these: only TLS vouches for them.
    Refused(ApiRefusal),
}

impl ApiClient {
    pub(super) fn new(account: Arc<WxpayAccount>) -> ApiClient {
        ApiClient { account, certificates: PlatformCertificates::default() }
    }

    /// Signs and sends `request`, and reads the response's status first, then its signature.
    ///
    /// It sends nothing before it has a certificate to verify the response with.
    ///
    /// # Errors
    ///
    /// [`Failure::NotSent`], or [`Failure::OutcomeUnknown`]: a success that nobody signed may not
    /// have happened.
    pub(super) async fn exchange(
        &self,
        request: UnsignedRequest,
        call: Call<'_>,
    ) -> Result<ApiResponse, Failure> {
        let call = TimedCall::begin(call);
        self.ensure_certificate(&call).await?;
        let response = self.send(request, &call).await?;
        let status = response.status();
        if !status.is_success() {
            return Ok(ApiResponse::Refused(ApiRefusal::parse(&response, call.now())));
        }
        match self.verify((response.headers(), response.body()), &call).await {
            Ok(()) => Ok(ApiResponse::Verified { status, body: response.into_body() }),
            Err(error) => Err(Failure::unknown(format!("HTTP {status}, not verified: {error}"))),
        }
    }

    pub(super) async fn send(
        &self,
        request: UnsignedRequest,
        call: &TimedCall<'_>,
    ) -> Result<Response<Bytes>, Failure> {
        let request = request
            .sign(&self.account, call.now(), &random_text())
            .map_err(|error| Failure::NotSent(format!("the request cannot be written: {error}")))?;
        let left = call.ends.saturating_duration_since(Instant::now());
        Ok(call.call.transport.send(request, left).await?)
    }

    /// Whether WeChat Pay signed a notification. Downloads certificates only when the serial
    /// number is unknown and can be a certificate's, and the last download was a minute ago.
    pub(super) async fn verify_notification(
        &self,
        notification: (&HeaderMap, &[u8]),
        call: Call<'_>,
    ) -> Result<(), VerificationError> {
        self.verify(notification, &TimedCall::begin(call)).await
    }

    /// Whether the account has a key under exactly this serial.
    pub(super) fn knows(&self, serial: &str, now: Millis) -> bool {
        self.key(serial, now).is_some()
    }

    async fn verify(
        &self,
        (headers, body): (&HeaderMap, &[u8]),
        call: &TimedCall<'_>,
    ) -> Result<(), VerificationError> {
        let signature = ResponseSignature::parse(headers)?;
        if self.key(signature.serial, call.now()).is_none() {
            self.download_certificate_of(signature.serial, call).await;
        }
        let key = self.key(signature.serial, call.now()).ok_or(VerificationError::Serial)?;
        signature.verify(body, &key, call.now())
    }

    /// The key under exactly this serial. A merchant that changes from certificates to WeChat
    /// Pay's public key sees both kinds for a while (WeChat Pay V3, "switch to the public key").
    pub(super) fn key(&self, serial: &str, now: Millis) -> Option<VerifyingKey> {
        match &self.account.verification {
            WxpayVerification::PublicKey { id, key } if id == serial => Some(key.clone()),
            WxpayVerification::PublicKey { .. } | WxpayVerification::Certificates => {
                self.certificates.key(serial, now)
            }
        }
    }
}

/// A call, and the moment when its time is over.
pub(super) struct TimedCall<'a> {
    call: Call<'a>,
    pub(super) ends: Instant,
}

impl<'a> TimedCall<'a> {
    fn begin(call: Call<'a>) -> TimedCall<'a> {
        TimedCall { call, ends: Instant::now() + call.timeout }
    }

    pub(super) fn now(&self) -> Millis {
        self.call.clock.now()
    }
}
