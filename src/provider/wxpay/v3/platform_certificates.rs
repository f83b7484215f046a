//! The platform certificates of one account, and when to download them.

use std::sync::{Mutex, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, MutexGuard};

use crate::domain::time::{HOUR_MS, MINUTE_MS, Millis, SECOND_MS};
use crate::provider::keys::VerifyingKey;
use crate::provider::wxpay::certificates::PlatformCertificate;

/// What is known, and when the next download may start. Knows no wire.
#[derive(Debug, Default)]
pub(super) struct Keyring {
    known: Mutex<Known>,
    /// Held by the one caller that downloads.
    download: AsyncMutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    certificates: Vec<PlatformCertificate>,
    downloaded: Option<Millis>,
    tried: Option<Tried>,
    /// Why the last download brought nothing; empty when it did.
    why: String,
}

/// The last download that was tried.
#[derive(Clone, Copy, Debug)]
struct Tried {
    at: Millis,
    outcome: Outcome,
}

/// How a download ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// WeChat Pay answered: with certificates, or that there are none.
    Answered,
    /// It was not reached, or has not answered yet.
    Unreachable,
}

/// Why certificates are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// Before a call, so that its answer can be verified.
    Any,
    /// For an answer that is signed under an unknown serial.
    UnknownSerial,
}

impl Keyring {
    /// The key under exactly this serial, unless it has expired.
    pub(super) fn key(&self, serial: &str, now: Millis) -> Option<VerifyingKey> {
        self.locked(|known| {
            let mut certificates = known.certificates.iter();
            certificates
                .find(|it| it.serial_no == serial && now < it.expires_at)
                .map(|it| it.key.clone())
        })
    }

    /// Whether any certificate is usable at `now`.
    pub(super) fn usable(&self, now: Millis) -> bool {
        self.locked(|known| known.certificates.iter().any(|it| now < it.expires_at))
    }

    /// Whether a download should start at `now`.
    pub(super) fn due(&self, want: Want, now: Millis) -> bool {
        let usable = self.usable(now);
        self.locked(|known| {
            let pause_ms = match known.tried {
                Some(Tried { outcome: Outcome::Unreachable, .. })
                    if want == Want::Any && !usable =>
                {
                    UNREACHABLE_PAUSE_MS
                }
                _ => PAUSE_MS,
            };
            let paused = known.tried.is_some_and(|it| apart_ms(now, it.at) < pause_ms);
            let wanted = match want {
                Want::UnknownSerial => true,
                Want::Any => {
                    let fresh =
                        known.downloaded.is_some_and(|at| apart_ms(now, at) < REFRESH_AFTER_MS);
                    !usable || !fresh
                }
            };
            wanted && !paused
        })
    }

    /// Waits until nobody else downloads.
    pub(super) async fn turn(&self) -> MutexGuard<'_, ()> {
        self.download.lock().await
    }

    /// Takes the turn if nobody else downloads.
    pub(super) fn turn_now(&self) -> Option<MutexGuard<'_, ()>> {
        self.download.try_lock().ok()
    }

    /// A download starts: the next one waits, whatever becomes of this one.
    pub(super) fn started(&self, now: Millis) {
        self.tried(Outcome::Unreachable, now);
        self.failed("it has not ended".to_owned());
    }

    /// A download brought nothing that can be used, though WeChat Pay answered.
    pub(super) fn refused(&self, now: Millis) {
        self.tried(Outcome::Answered, now);
    }

    /// Why the download brought nothing, for the operator.
    pub(super) fn failed(&self, why: String) {
        self.locked(|known| known.why = why);
    }

    /// Why the last download brought nothing.
    pub(super) fn why(&self) -> String {
        self.locked(|known| known.why.clone())
    }

    fn tried(&self, outcome: Outcome, now: Millis) {
        self.locked(|known| known.tried = Some(Tried { at: now, outcome }));
    }

    /// A download brought `certificates`. Earlier ones stay until they expire: old and new
    /// overlap while WeChat Pay rotates them.
    pub(super) fn keep(&self, certificates: Vec<PlatformCertificate>, now: Millis) {
        self.locked(|known| {
            let mut kept = certificates;
            for old in known.certificates.drain(..) {
                let replaced = kept.iter().any(|it| it.serial_no == old.serial_no);
                if !replaced && now < old.expires_at {
                    kept.push(old);
                }
            }
            known.certificates = kept;
            known.why.clear();
            known.downloaded = Some(now);
            known.tried = Some(Tried { at: now, outcome: Outcome::Answered });
        });
    }

    /// Nothing panics under this lock, and every write leaves the fields in order.
    fn locked<T>(&self, act: impl FnOnce(&mut Known) -> T) -> T {
        act(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Whether `serial` can be a platform certificate's: 40 hex digits, upper case. Nothing else
/// makes us ask for certificates.
pub(super) fn plausible(serial: &str) -> bool {
    serial.len() == 40 && serial.bytes().all(|it| matches!(it, b'0'..=b'9' | b'A'..=b'F'))
}

/// The distance of two times, whichever way the clock was set between them.
fn apart_ms(a: Millis, b: Millis) -> i64 {
    a.since(b).saturating_abs()
}

/// At least this long between two downloads: forged answers must not make us ask in a loop.
const PAUSE_MS: i64 = MINUTE_MS;

/// With no certificate at all nothing can be paid: an unreachable WeChat Pay is asked again
/// sooner, and only before calls of our own.
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
        let ring = Keyring::default();
        assert!(ring.due(Want::Any, T), "nothing is known");
        ring.started(T);
        ring.keep(vec![certificate("A", T.plus(30 * HOUR_MS))], T);
        assert!(!ring.due(Want::Any, T.plus(10 * HOUR_MS)));
        assert!(ring.due(Want::Any, T.plus(11 * HOUR_MS)));
        assert!(!ring.due(Want::UnknownSerial, T.plus(MINUTE_MS - 1)));
        assert!(ring.due(Want::UnknownSerial, T.plus(MINUTE_MS)));
        assert!(ring.due(Want::Any, T.plus(31 * HOUR_MS)), "all have expired");
    }

    #[test]
    fn a_failed_download_is_not_repeated_in_a_loop() {
        for (outcome, pause_ms) in
            [(Outcome::Answered, MINUTE_MS), (Outcome::Unreachable, 5 * SECOND_MS)]
        {
            let ring = Keyring::default();
            ring.started(T);
            if outcome == Outcome::Answered {
                ring.refused(T);
            }
            assert!(!ring.due(Want::Any, T.plus(pause_ms - 1)), "{outcome:?}");
            assert!(ring.due(Want::Any, T.plus(pause_ms)), "{outcome:?}");
            assert!(!ring.due(Want::UnknownSerial, T.plus(MINUTE_MS - 1)), "{outcome:?}");
            assert!(ring.due(Want::Any, T.plus(-2 * MINUTE_MS)), "the clock was set back");
        }
    }

    #[test]
    fn old_certificates_stay_until_they_expire() {
        let ring = Keyring::default();
        ring.keep(vec![certificate("A", T.plus(HOUR_MS)), certificate("B", T.plus(9))], T);
        ring.keep(vec![certificate("C", T.plus(2 * HOUR_MS))], T.plus(9));
        let known = |serial, at| ring.key(serial, at).is_some();
        assert!(known("A", T.plus(9)) && known("C", T.plus(9)));
        assert!(!known("B", T) && !known("a", T) && !known("", T));
        assert!(!known("A", T.plus(HOUR_MS)), "it has expired");
    }

    #[test]
    fn only_serials_of_certificates_are_plausible() {
        assert!(plausible(&"0F".repeat(20)));
        for bad in ["", "PUB_KEY_ID_0114232134912410000000000000", &"0f".repeat(20)] {
            assert!(!plausible(bad), "{bad}");
        }
    }
}
