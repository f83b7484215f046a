//! How the call that opens an attempt ended, in the words of [`after_open`].
//!
//! [`after_open`]: crate::domain::order::open_outcome::after_open

use super::failures::CallFailure;
use crate::domain::order::attempt::Material;
use crate::domain::order::open_outcome::OpenOutcome;
use crate::domain::time::Millis;
use crate::provider::Failure;

/// The outcome of a call that opens an attempt, whose material stays valid until `valid_until`.
pub(super) fn open_outcome(
    opened: Result<Material, CallFailure>,
    valid_until: Millis,
) -> OpenOutcome {
    let failure = match opened {
        Ok(material) => return OpenOutcome::Payable { material, valid_until },
        Err(CallFailure::NotMade(_)) => return OpenOutcome::NotSent,
        Err(CallFailure::Failed(failure)) => failure,
    };
    match failure {
        Failure::Refused { code, message } => OpenOutcome::Refused { code, message },
        Failure::NumberInUse { code, .. } => OpenOutcome::NumberInUse { code },
        Failure::Throttled { code, .. } => OpenOutcome::Throttled { code },
        Failure::NotSent(_) | Failure::Unverifiable { .. } => OpenOutcome::NotSent,
        Failure::OutcomeUnknown { reason, .. } => OpenOutcome::Unknown { reason },
    }
}
