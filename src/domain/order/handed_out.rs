//! What was handed out of an attempt: whether a buyer may hold what pays it.

use super::attempt::{Attempt, AttemptState};

impl Attempt {
    /// Whether a buyer may hold what it takes to pay it. Where the buyer finds the trade at the
    /// provider, an unanswered call counts too.
    #[must_use]
    pub fn is_handed_out(&self) -> bool {
        let may_exist = self.is_unknown() || self.state == AttemptState::NotFound;
        let is_in_use = matches!(self.state, AttemptState::NumberInUse { .. });
        self.handed_out || is_in_use || (self.method.product.shows_trade_to_buyer() && may_exist)
    }

    /// Whether a buyer may still pay it: it was handed out, and its provider has not ended it.
    #[must_use]
    pub fn is_payable(&self) -> bool {
        self.is_handed_out() && !self.is_ended()
    }

    /// Whether its provider has said the last word.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        matches!(self.state, AttemptState::Closed | AttemptState::Paid)
    }

    /// Whether it was begun and nothing is known of its outcome.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        matches!(self.state, AttemptState::Prepared | AttemptState::OutcomeUnknown { .. })
    }

    /// Whether the buyer who asks for its way to pay again is given this attempt's material, once
    /// its provider makes some: nothing was handed out yet, and nothing speaks against it.
    #[must_use]
    pub fn is_resumable(&self) -> bool {
        match self.state {
            AttemptState::Prepared
            | AttemptState::NotSent
            | AttemptState::OutcomeUnknown { .. }
            | AttemptState::Refused { .. }
            | AttemptState::NotFound
            | AttemptState::NumberInUse { .. } => !self.close_intended,
            AttemptState::Payable { .. } | AttemptState::Closed | AttemptState::Paid => false,
        }
    }

    /// Whether its material may be shown: a close that may have been sent could have ended it.
    #[must_use]
    pub fn is_presentable(&self) -> bool {
        matches!(self.state, AttemptState::Payable { .. }) && !self.close_intended
    }

    /// Whether its provider owes an answer about it although no buyer can pay it: its outcome is
    /// unknown, or a refusal that nobody signed was never confirmed and another way was taken.
    #[must_use]
    pub fn is_unanswered(&self) -> bool {
        let is_unconfirmed = self.superseded && matches!(self.state, AttemptState::Refused { .. });
        self.is_unknown() || is_unconfirmed
    }

    /// Whether nothing of it ever left this machine: its product is a signature of ours, and
    /// nobody was given one.
    #[must_use]
    pub fn is_unsigned(&self) -> bool {
        let is_begun = match self.state {
            AttemptState::Prepared | AttemptState::NotSent | AttemptState::NotFound => true,
            AttemptState::OutcomeUnknown { .. }
            | AttemptState::Refused { .. }
            | AttemptState::NumberInUse { .. }
            | AttemptState::Payable { .. }
            | AttemptState::Closed
            | AttemptState::Paid => false,
        };
        is_begun && self.method.product.is_local() && !self.handed_out
    }

    /// Whether its provider has a trade as soon as it answers: that there is none, it cannot say
    /// while the material that it gave may be paid. Alipay makes the others when the buyer acts.
    #[must_use]
    pub fn has_trade_at_once(&self) -> bool {
        let is_answered = matches!(self.state, AttemptState::Payable { .. });
        is_answered && self.method.product.has_trade_when_opened()
    }
}
