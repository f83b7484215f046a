//! The platform certificates of one account, and when to download them.

use std::sync::{Mutex, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, MutexGuard};

use super::refusal::ApiRefusal;
use crate::domain::time::{HOUR_MS, MINUTE_MS, Millis, SECOND_MS};
use crate::provider::keys::VerifyingKey;
use crate::provider::wxpay::certificates::PlatformCertificate;

/// The certificates, and when the next download may start. Sends nothing itself.
#[derive(Debug, Default)]
pub(super) struct PlatformCertificates {
    state: Mutex<CertificateState>,
    /// The call that downloads holds it.
    download: AsyncMutex<()>,
}

#[derive(Debug, Default)]
struct CertificateState {
    certificates: Vec<PlatformCertificate>,
    downloaded: Option<Millis>,
    last_attempt: Option<RefreshAttempt>,
    /// Why the last download failed; empty when it succeeded.
    last_failure: RefreshFailure,
}

/// Why a download failed, for the operator.
#[derive(Clone, Debug, Default)]
pub(super) struct RefreshFailure {
    pub(super) reason: String,
    /// WeChat Pay's code and message, where it refused.
    pub(super) provider_error: Option<(String, String)>,
}

impl From<String> for RefreshFailure {
    fn from(reason: String) -> RefreshFailure {
        RefreshFailure { reason, provider_error: None }
    }
}

impl From<ApiRefusal> for RefreshFailure {
    fn from(refusal: ApiRefusal) -> RefreshFailure {
        let reason = refusal.to_string();
        RefreshFailure { reason, provider_error: refusal.into_provider_error() }
    }
}

/// The last download that began.
#[derive(Clone, Copy, Debug)]
struct RefreshAttempt {
    at: Millis,
    outcome: RefreshOutcome,
}

/// How a download ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RefreshOutcome {
    /// WeChat Pay answered: with certificates, or that there are none.
    Answered,
    /// WeChat Pay was not reached, or has not answered yet.
    Unreachable,
}

/// Why a call needs certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RefreshReason {
    /// To verify the response of a call that is about to be sent.
    BeforeCall,
    /// To verify a message whose serial is unknown.
    UnknownSerial,
}

impl PlatformCertificates {
    /// The key under exactly this serial, unless it has expired.
    pub(super) fn key(&self, serial: &str, now: Millis) -> Option<VerifyingKey> {
        self.locked(|state| {
            let mut certificates = state.certificates.iter();
            certificates
                .find(|certificate| certificate.serial_no == serial && now < certificate.expires_at)
                .map(|certificate| certificate.key.clone())
        })
    }

    /// Whether any certificate is usable at `now`.
    pub(super) fn has_usable(&self, now: Millis) -> bool {
        self.locked(|state| {
            state.certificates.iter().any(|certificate| now < certificate.expires_at)
        })
    }

    /// Whether a download should start at `now`.
    pub(super) fn is_refresh_due(&self, reason: RefreshReason, now: Millis) -> bool {
        let has_usable = self.has_usable(now);
        self.locked(|state| {
            let pause_ms = match state.last_attempt {
                Some(RefreshAttempt { outcome: RefreshOutcome::Unreachable, .. })
                    if reason == RefreshReason::BeforeCall && !has_usable =>
                {
                    UNREACHABLE_PAUSE_MS
                }
                _ => PAUSE_MS,
            };
            let paused = state.last_attempt.is_some_and(|last| apart_ms(now, last.at) < pause_ms);
            let wanted = match reason {
                RefreshReason::UnknownSerial => true,
                RefreshReason::BeforeCall => {
                    let fresh =
                        state.downloaded.is_some_and(|at| apart_ms(now, at) < REFRESH_AFTER_MS);
                    !has_usable || !fresh
                }
            };
            wanted && !paused
        })
    }

    /// The lock that one download at a time holds. Waits for another download to end.
    pub(super) async fn refresh_lock(&self) -> MutexGuard<'_, ()> {
        self.download.lock().await
    }

    /// The refresh lock, unless another download holds it.
    pub(super) fn try_refresh_lock(&self) -> Option<MutexGuard<'_, ()>> {
        self.download.try_lock().ok()
    }

    /// Records that a download starts: the next one pauses, whatever becomes of this one.
    pub(super) fn refresh_started(&self, now: Millis) {
        self.record_attempt(RefreshOutcome::Unreachable, now);
        self.refresh_failed("it has not ended".to_owned().into());
    }

    /// Records that WeChat Pay answered the download, usable or not.
    pub(super) fn refresh_answered(&self, now: Millis) {
        self.record_attempt(RefreshOutcome::Answered, now);
    }

    /// Records for the operator why the download failed.
    pub(super) fn refresh_failed(&self, last_failure: RefreshFailure) {
        self.locked(|state| state.last_failure = last_failure);
    }

    /// Why the last download failed; empty when it succeeded.
    pub(super) fn last_failure(&self) -> RefreshFailure {
        self.locked(|state| state.last_failure.clone())
    }

    fn record_attempt(&self, outcome: RefreshOutcome, now: Millis) {
        self.locked(|state| state.last_attempt = Some(RefreshAttempt { at: now, outcome }));
    }

    /// Stores the `certificates` of a download. Earlier ones stay until they expire: old and new
    /// overlap while WeChat Pay rotates them.
    pub(super) fn store(&self, certificates: Vec<PlatformCertificate>, now: Millis) {
        self.locked(|state| {
            let mut kept = certificates;
            for old in state.certificates.drain(..) {
                let replaced =
                    kept.iter().any(|certificate| certificate.serial_no == old.serial_no);
                if !replaced && now < old.expires_at {
                    kept.push(old);
                }
            }
            state.certificates = kept;
            state.last_failure = RefreshFailure::default();
            state.downloaded = Some(now);
            state.last_attempt =
                Some(RefreshAttempt { at: now, outcome: RefreshOutcome::Answered });
        });
    }

    /// Nothing panics under this lock, and every write leaves the fields consistent.
    fn locked<T>(&self, act: impl FnOnce(&mut CertificateState) -> T) -> T {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Whether `serial` can be a platform certificate's: 40 hex digits, upper case. No other serial
/// starts a download.
pub(super) fn is_certificate_serial(serial: &str) -> bool {
    serial.len() == 40 && serial.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F'))
}

/// The distance of two times, whichever way the clock was set between them.
fn apart_ms(a: Millis, b: Millis) -> i64 {
    a.since(b).saturating_abs()
}

/// At least this long between two downloads: forged messages must not make us download in a loop.
const PAUSE_MS: i64 = MINUTE_MS;

/// Without any certificate no buyer can pay: the download from an unreachable WeChat Pay is
/// repeated sooner, and only before calls of our own.
const UNREACHABLE_PAUSE_MS: i64 = 5 * SECOND_MS;

/// WeChat Pay asks for a refresh within every 12 hours (V3, platform certificates).
const REFRESH_AFTER_MS: i64 = 11 * HOUR_MS;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::keys::SigningKey;

    fn certificate(serial_no: &str, expires_at: Millis) -> PlatformCertificate {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
        let key = SigningKey::parse(pair.serialized_der()).unwrap().verifying_key();
        PlatformCertificate { serial_no: serial_no.to_owned(), key, expires_at }
    }

    const T: Millis = Millis(1_700_000_000_000);

    #[test]
    fn downloads_are_an_hour_short_of_half_a_day_apart_unless_a_serial_is_unknown() {
        let certificates = PlatformCertificates::default();
        assert!(certificates.is_refresh_due(RefreshReason::BeforeCall, T), "nothing is known");
        certificates.refresh_started(T);
        certificates.store(vec![certificate("A", T.plus(30 * HOUR_MS))], T);
        assert!(!certificates.is_refresh_due(RefreshReason::BeforeCall, T.plus(10 * HOUR_MS)));
        assert!(certificates.is_refresh_due(RefreshReason::BeforeCall, T.plus(11 * HOUR_MS)));
        assert!(!certificates.is_refresh_due(RefreshReason::UnknownSerial, T.plus(MINUTE_MS - 1)));
        assert!(certificates.is_refresh_due(RefreshReason::UnknownSerial, T.plus(MINUTE_MS)));
        assert!(
            certificates.is_refresh_due(RefreshReason::BeforeCall, T.plus(31 * HOUR_MS)),
            "all have expired"
        );
    }

    #[test]
    fn a_failed_download_is_not_repeated_in_a_loop() {
        for (outcome, pause_ms) in
            [(RefreshOutcome::Answered, MINUTE_MS), (RefreshOutcome::Unreachable, 5 * SECOND_MS)]
        {
            let certificates = PlatformCertificates::default();
            certificates.refresh_started(T);
            if outcome == RefreshOutcome::Answered {
                certificates.refresh_answered(T);
            }
            assert!(
                !certificates.is_refresh_due(RefreshReason::BeforeCall, T.plus(pause_ms - 1)),
                "{outcome:?}"
            );
            assert!(
                certificates.is_refresh_due(RefreshReason::BeforeCall, T.plus(pause_ms)),
                "{outcome:?}"
            );
            assert!(
                !certificates.is_refresh_due(RefreshReason::UnknownSerial, T.plus(MINUTE_MS - 1)),
                "{outcome:?}"
            );
            assert!(
                certificates.is_refresh_due(RefreshReason::BeforeCall, T.plus(-2 * MINUTE_MS)),
                "the clock was set back"
            );
        }
    }

    #[test]
    fn old_certificates_stay_until_they_expire() {
        let certificates = PlatformCertificates::default();
        certificates.store(vec![certificate("A", T.plus(HOUR_MS)), certificate("B", T.plus(9))], T);
        certificates.store(vec![certificate("C", T.plus(2 * HOUR_MS))], T.plus(9));
        let known = |serial, at| certificates.key(serial, at).is_some();
        assert!(known("A", T.plus(9)) && known("C", T.plus(9)));
        assert!(!known("B", T) && !known("a", T) && !known("", T));
        assert!(!known("A", T.plus(HOUR_MS)), "it has expired");
    }

    #[test]
    fn only_serials_of_certificates_are_plausible() {
        assert!(is_certificate_serial(&"0F".repeat(20)));
        for bad in ["", "PUB_KEY_ID_0114232134912410000000000000", &"0f".repeat(20)] {
            assert!(!is_certificate_serial(bad), "{bad}");
        }
    }
}
