//! The certificates of a configuration, and which of them end.

use super::problem::ProblemReason;
use crate::domain::time::{DAY_MS, Millis};
use crate::provider::certificate::Certificate;

/// A certificate, by the place that it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ConfiguredCertificate {
    /// The variable, or the file's variable with the node and the field.
    pub(super) place: String,
    pub(super) end: CertificateEnd,
}

/// The serial number and the end of a certificate's validity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CertificateEnd {
    serial_no: String,
    ends_at: Millis,
}

impl CertificateEnd {
    pub(super) fn of(certificate: &Certificate) -> CertificateEnd {
        let (serial_no, ends_at) = (certificate.serial_hex(), certificate.expires_at());
        CertificateEnd { serial_no, ends_at }
    }

    /// Of several certificates, that of the first to end.
    pub(super) fn first(certificates: &[Certificate]) -> Result<CertificateEnd, ProblemReason> {
        let first = certificates.iter().min_by_key(|certificate| certificate.expires_at());
        first.map(CertificateEnd::of).ok_or_else(|| "holds no certificate".into())
    }
}

impl ConfiguredCertificate {
    /// One line for the operator.
    pub(super) fn describe(&self) -> String {
        let CertificateEnd { serial_no, ends_at } = &self.end;
        format!(
            "certificate {}: serial number {serial_no}, ends at {}",
            self.place,
            ends_at.to_rfc3339()
        )
    }

    /// Whether its end is so near that an operator has to act: [`URGENT_DAYS`].
    pub(super) fn is_urgent(&self, now: Millis) -> bool {
        self.end.ends_at.since(now) / DAY_MS < URGENT_DAYS
    }

    /// A warning when it has ended by `now`, or ends within [`SOON_DAYS`].
    pub(super) fn warning(&self, now: Millis) -> Option<String> {
        let (place, CertificateEnd { serial_no, ends_at }) = (&self.place, &self.end);
        let (days, day) = (ends_at.since(now) / DAY_MS, ends_at.to_rfc3339());
        if *ends_at <= now {
            return Some(format!(
                "{place}: the certificate {serial_no} ended at {day}, and the provider takes it no \
                 more: set its successor from the provider's console"
            ));
        }
        (days < SOON_DAYS).then(|| {
            format!(
                "{place}: the certificate {serial_no} ends at {day}, in {days} days: set its \
                 successor from the provider's console before"
            )
        })
    }
}

/// The days before a certificate's end in which paygate warns of it.
const SOON_DAYS: i64 = 30;

/// The days before a certificate's end in which it is an error each day.
const URGENT_DAYS: i64 = 14;
