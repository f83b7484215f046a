//! The transition that follows a call to open an attempt: a pure decision, tested as a table.

use super::attempt::Material;
use super::transition::Transition;
use crate::domain::time::Millis;

/// What is known of an attempt before it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SentBefore {
    /// It was never sent.
    Never,
    /// The provider has no trade under its number.
    NotFound,
    /// The provider answered that it has a trade under its number, then that it has none.
    Contradicted,
    /// The provider has a trade under its number, which waits for its buyer.
    Unpaid,
    /// The buyer got material of it, which is no longer valid.
    Stale,
}

/// How the call that opens an attempt ended.
#[derive(Clone, Debug, PartialEq)]
pub enum OpenOutcome {
    /// The buyer can pay.
    Payable {
        /// What the buyer pays with.
        material: Material,
        /// Until when paygate hands it out again.
        valid_until: Millis,
    },
    /// The provider refused.
    Refused {
        /// The provider's code.
        code: String,
        /// The provider's message.
        message: String,
    },
    /// The provider has another trade under the number.
    NumberInUse {
        /// The provider's code.
        code: String,
    },
    /// The provider received too many calls and, by its unsigned answer, did not execute this one.
    Throttled {
        /// The provider's code.
        code: String,
    },
    /// No byte of the call left this machine.
    NotSent,
    /// The provider may have opened it.
    Unknown {
        /// The cause, for the operator.
        reason: String,
    },
}

/// What paygate does after such a call.
#[derive(Clone, Debug, PartialEq)]
pub enum AfterOpen {
    /// It records the transition and hands the material out.
    HandOut(Transition),
    /// It records the transition and judges the order anew.
    Reevaluate(Transition),
    /// It records the transition, queries the provider and sends the attempt again, as long as the
    /// request may send at all.
    Retry(Transition),
    /// It opens another attempt: the provider does not give this one out again.
    NewAttempt,
    /// It reports the failure, after it recorded the transition if there is one.
    Fail(Option<Transition>),
    /// It reports that the provider contradicts itself.
    Contradiction {
        /// The provider's code.
        code: String,
    },
}

/// Decides what follows from `outcome` of opening attempt `n`.
///
/// A refusal counts only for an attempt that no buyer can pay yet: a provider that refuses to give
/// out an existing trade once more says nothing about the trade.
#[must_use]
pub fn after_open(n: u32, sent_before: SentBefore, outcome: OpenOutcome) -> AfterOpen {
    use SentBefore::{Contradicted, Never, NotFound, Stale, Unpaid};
    match (outcome, sent_before) {
        (OpenOutcome::Payable { material, valid_until }, _) => {
            AfterOpen::HandOut(Transition::Answered { n, material, valid_until })
        }
        (OpenOutcome::Refused { .. }, Stale | Unpaid)
        | (OpenOutcome::NumberInUse { .. }, Stale) => AfterOpen::NewAttempt,
        (OpenOutcome::Refused { code, .. } | OpenOutcome::NumberInUse { code }, Contradicted) => {
            AfterOpen::Contradiction { code }
        }
        (OpenOutcome::NumberInUse { code }, Never | NotFound | Unpaid) => {
            AfterOpen::Reevaluate(Transition::NumberInUse { n, code })
        }
        (OpenOutcome::Refused { code, message }, Never | NotFound) => {
            AfterOpen::Fail(Some(Transition::Refused { n, code, message }))
        }
        (OpenOutcome::NotSent, Never) => AfterOpen::Fail(Some(Transition::NotSent { n })),
        (OpenOutcome::Throttled { code }, Never | NotFound) => {
            AfterOpen::Fail(Some(Transition::OutcomeUnknown { n, reason: code }))
        }
        (OpenOutcome::Unknown { reason }, Never | NotFound) => {
            AfterOpen::Retry(Transition::OutcomeUnknown { n, reason })
        }
        (OpenOutcome::NotSent, NotFound | Contradicted | Unpaid | Stale)
        | (
            OpenOutcome::Throttled { .. } | OpenOutcome::Unknown { .. },
            Contradicted | Unpaid | Stale,
        ) => AfterOpen::Fail(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [SentBefore; 5] = [
        SentBefore::Never,
        SentBefore::NotFound,
        SentBefore::Contradicted,
        SentBefore::Unpaid,
        SentBefore::Stale,
    ];

    /// The words of the table: what follows, and what is recorded.
    fn word(after: &AfterOpen) -> &'static str {
        match after {
            AfterOpen::HandOut(Transition::Answered { .. }) => "hand out",
            AfterOpen::Reevaluate(Transition::NumberInUse { .. }) => "in use",
            AfterOpen::Retry(Transition::OutcomeUnknown { .. }) => "retry",
            AfterOpen::NewAttempt => "new attempt",
            AfterOpen::Fail(Some(Transition::Refused { .. })) => "refused",
            AfterOpen::Fail(Some(Transition::NotSent { .. })) => "not sent",
            AfterOpen::Fail(Some(Transition::OutcomeUnknown { .. })) => "unknown",
            AfterOpen::Fail(None) => "fail",
            AfterOpen::Contradiction { .. } => "contradiction",
            AfterOpen::HandOut(_)
            | AfterOpen::Reevaluate(_)
            | AfterOpen::Retry(_)
            | AfterOpen::Fail(_) => panic!("{after:?} is in no row"),
        }
    }

    fn check(outcome: &OpenOutcome, expected: [&str; 5]) {
        let found = ALL.map(|sent_before| word(&after_open(7, sent_before, outcome.clone())));
        assert_eq!(found, expected, "{outcome:?}");
    }

    #[test]
    fn what_follows_depends_on_the_outcome_and_on_what_was_sent_before() {
        let code = || "CODE".to_owned();
        let payable = OpenOutcome::Payable { material: Material::Signed, valid_until: Millis(1) };
        check(&payable, ["hand out"; 5]);
        check(
            &OpenOutcome::Refused { code: code(), message: String::new() },
            ["refused", "refused", "contradiction", "new attempt", "new attempt"],
        );
        check(
            &OpenOutcome::NumberInUse { code: code() },
            ["in use", "in use", "contradiction", "in use", "new attempt"],
        );
        check(
            &OpenOutcome::Throttled { code: code() },
            ["unknown", "unknown", "fail", "fail", "fail"],
        );
        check(&OpenOutcome::NotSent, ["not sent", "fail", "fail", "fail", "fail"]);
        check(
            &OpenOutcome::Unknown { reason: "timeout".to_owned() },
            ["retry", "retry", "fail", "fail", "fail"],
        );
    }
}
