//! Whether a buyer may hold the material of an attempt, and may pay it.

use super::attempt::{Attempt, AttemptState};

impl Attempt {
    /// Whether a buyer may hold its material. Where the buyer finds the trade at the provider, an
    /// unanswered call counts too.
    #[must_use]
    pub fn is_handed_out(&self) -> bool {
        let may_exist = self.is_unknown() || self.state == AttemptState::NotFound;
        let is_in_use = matches!(self.state, AttemptState::NumberInUse { .. });
        self.handed_out || is_in_use || (self.method.product.shows_trade_to_buyer() && may_exist)
    }

    /// Whether a buyer may still pay it: paygate handed it out, and it is neither closed nor paid.
    #[must_use]
    pub fn is_payable(&self) -> bool {
        self.is_handed_out() && !self.is_ended()
    }

    /// Whether it is closed or paid.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        matches!(self.state, AttemptState::Closed | AttemptState::Paid)
    }

    /// Whether paygate began it and does not know its outcome.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        matches!(self.state, AttemptState::Prepared | AttemptState::OutcomeUnknown { .. })
    }

    /// Whether a repeated request with its method gets this attempt's material, once the provider
    /// returns some: paygate has handed out nothing yet, and has sent no close.
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

    /// Whether paygate may hand out its material: a close that it may have sent could have ended
    /// it.
    #[must_use]
    pub fn is_presentable(&self) -> bool {
        matches!(self.state, AttemptState::Payable { .. }) && !self.close_intended
    }

    /// Whether its provider has not reported its outcome, although no buyer can pay it: the outcome
    /// is unknown, or no query confirmed an unsigned refusal before another method took its place.
    #[must_use]
    pub fn is_unanswered(&self) -> bool {
        let is_unconfirmed = self.superseded && matches!(self.state, AttemptState::Refused { .. });
        self.is_unknown() || is_unconfirmed
    }

    /// Whether nothing of it left this machine: paygate opens its product by a signature, and has
    /// handed out none.
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

    /// Whether its provider has a trade as soon as it answers: a later answer that there is none
    /// contradicts it while the buyer may pay. Alipay makes the others when the buyer acts.
    #[must_use]
    pub fn has_trade_at_once(&self) -> bool {
        let is_answered = matches!(self.state, AttemptState::Payable { .. });
        is_answered && self.method.product.has_trade_when_opened()
    }
}
