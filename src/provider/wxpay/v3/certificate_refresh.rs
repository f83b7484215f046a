//! Refreshes an account's platform certificates: before a call, and for a serial number that is
//! unknown (WeChat Pay V3, download platform certificates).

use bytes::Bytes;
use http::{Response, StatusCode};
use tokio::time::timeout_at;

use super::client::{ApiClient, TimedCall};
use super::platform_certificates::{RefreshFailure, RefreshReason, is_certificate_serial};
use super::refusal::ApiRefusal;
use super::request_signature::UnsignedRequest;
use super::response_signature::{ResponseSignature, VerificationError};
use crate::domain::time::Millis;
use crate::provider::Failure;
use crate::provider::wxpay::{WxpayVerification, certificates};

impl ApiClient {
    /// In certificate mode: downloads certificates where that is due, so that the call's response
    /// can be verified.
    ///
    /// # Errors
    ///
    /// [`Failure::Unverifiable`] when the account has no usable certificate: the call must not be
    /// sent.
    pub(super) async fn ensure_certificate(&self, call: &TimedCall<'_>) -> Result<(), Failure> {
        if matches!(self.account.verification, WxpayVerification::PublicKey { .. }) {
            return Ok(());
        }
        let lock = if self.certificates.has_usable(call.now()) {
            // While another call refreshes them, this one uses the certificates that are there.
            self.certificates.try_refresh_lock()
        } else {
            timeout_at(call.ends, self.certificates.refresh_lock()).await.ok()
        };
        if lock.is_some() && self.certificates.is_refresh_due(RefreshReason::BeforeCall, call.now())
        {
            self.download_certificates(call).await;
        }
        drop(lock);
        if self.certificates.has_usable(call.now()) {
            Ok(())
        } else {
            let RefreshFailure { reason, provider_error } = self.certificates.last_failure();
            let reason = format!(
                "no platform certificate to verify answers with could be downloaded: {reason}"
            );
            Err(Failure::Unverifiable { reason, provider_error })
        }
    }

    /// Downloads certificates because WeChat Pay signed a message under `serial`, which is
    /// unknown: a new certificate may have it.
    pub(super) async fn download_certificate_of(&self, serial: &str, call: &TimedCall<'_>) {
        if !is_certificate_serial(serial) {
            return;
        }
        let Ok(_lock) = timeout_at(call.ends, self.certificates.refresh_lock()).await else {
            return;
        };
        // Another call may have downloaded it meanwhile.
        let is_known = self.key(serial, call.now()).is_some();
        if !is_known && self.certificates.is_refresh_due(RefreshReason::UnknownSerial, call.now()) {
            self.download_certificates(call).await;
        }
    }

    /// Downloads the platform certificates. The caller holds the refresh lock.
    async fn download_certificates(&self, call: &TimedCall<'_>) {
        self.certificates.refresh_started(call.now());
        let request = UnsignedRequest::get("/v3/certificates".to_owned());
        let outcome = match self.send(request, call).await {
            Ok(response) => self.store_certificates(&response, call.now()),
            Err(failure) => Err(RefreshFailure::from(format!("{failure:?}"))),
        };
        if let Err(failure) = outcome {
            let (mch_id, reason) = (&self.account.mch_id, &failure.reason);
            let (code, message) = failure.provider_error.clone().unzip();
            tracing::warn!(
                %mch_id,
                reason,
                code = code.as_deref(),
                provider_message = message.as_deref(),
                "platform certificates were not downloaded"
            );
            self.certificates.refresh_failed(failure);
        }
    }

    /// Stores the certificates of a download. The first list is trusted because only holders of
    /// the APIv3 key can encrypt one (`AEAD_AES_256_GCM`); every list, the first included, must
    /// also be signed with a key that is known or that is in it.
    fn store_certificates(
        &self,
        response: &Response<Bytes>,
        now: Millis,
    ) -> Result<(), RefreshFailure> {
        let status = response.status();
        let refused = || RefreshFailure::from(ApiRefusal::parse(response, now));
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Err(refused());
        }
        self.certificates.refresh_answered(now);
        if status != StatusCode::OK {
            return Err(refused());
        }
        let api_v3_key = &self.account.api_v3_key;
        let list = certificates::parse_certificate_list(response.body(), api_v3_key, now)?;
        let signature =
            ResponseSignature::parse(response.headers()).map_err(|error| error.to_string())?;
        let listed = list.iter().find(|certificate| certificate.serial_no == signature.serial);
        let key = self
            .key(signature.serial, now)
            .or_else(|| listed.map(|certificate| certificate.key.clone()));
        key.ok_or(VerificationError::Serial)
            .and_then(|key| signature.verify(response.body(), &key, now))
            .map_err(|error| error.to_string())?;
        self.certificates.store(list, now);
        Ok(())
    }
}
