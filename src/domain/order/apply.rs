//! Applies a [`Transition`] to an order: the only way in which an order changes.

use super::attempt::{Attempt, AttemptState};
use super::state::{Order, OrderStatus};
use super::transition::{TradeUpdate, Transition};
use crate::domain::time::Millis;

impl Order {
    /// The order after `transition`, one version on. [`None`] when the transition adds nothing,
    /// because more is recorded already.
    #[must_use]
    pub fn apply(&self, transition: Transition) -> Option<Order> {
        let mut next = self.clone();
        next.change(transition)?;
        next.version = next.version.saturating_add(1);
        Some(next)
    }

    fn change(&mut self, transition: Transition) -> Option<()> {
        match transition {
            Transition::Opened(attempt) => self.open(*attempt),
            Transition::Offered { n } => self.offer(n),
            Transition::CloseIntended { n } => self.intend_close(n, true),
            Transition::CloseRefused { n } => self.intend_close(n, false),
            Transition::Adopted { attempt, at, receipt } => {
                let n = attempt.n;
                self.adopt(*attempt)?;
                self.record_trade(n, at, TradeUpdate::Paid(receipt))
            }
            Transition::Corrected { n, receipt } => self.correct_payment(n, receipt),
            Transition::NotSent { n } => self.advance(n, AttemptState::NotSent),
            Transition::Answered { n, material, valid_until } => {
                self.hand_out(n, AttemptState::Payable { material, valid_until })
            }
            Transition::Refused { n, code, message } => {
                self.advance(n, AttemptState::Refused { code, message })
            }
            Transition::NumberInUse { n, code } => {
                self.advance(n, AttemptState::NumberInUse { code })
            }
            Transition::OutcomeUnknown { n, reason } => {
                self.advance(n, AttemptState::OutcomeUnknown { reason })
            }
            Transition::Resending { n } => self.prepare_again(n),
            Transition::TradeQueried { n, at, update } => self.record_trade(n, at, update),
            Transition::Closed => self.close(),
            Transition::RefundRequested { transaction_id, refund } => {
                self.request_refund(&transaction_id, *refund)
            }
            Transition::RefundSending { out_refund_no } => {
                self.count_refund_sending(&out_refund_no)
            }
            Transition::RefundQueried { out_refund_no, at, update } => {
                self.record_refund_update(&out_refund_no, at, update);
                Some(())
            }
            Transition::RefundedExternally { transaction_id, refund, at } => {
                self.record_external_refund(&transaction_id, *refund, at)
            }
        }
    }

    fn open(&mut self, attempt: Attempt) -> Option<()> {
        self.supersede();
        self.add(attempt)
    }

    /// An attempt's number is never used again.
    fn add(&mut self, attempt: Attempt) -> Option<()> {
        let n = self.latest().n.saturating_add(1);
        (attempt.n == n).then(|| self.attempts.push(attempt))
    }

    fn adopt(&mut self, attempt: Attempt) -> Option<()> {
        self.add(Attempt { superseded: true, handed_out: true, ..attempt })
    }

    fn offer(&mut self, n: u32) -> Option<()> {
        self.supersede();
        self.attempts
            .iter_mut()
            .find(|attempt| attempt.n == n)
            .map(|attempt| attempt.superseded = false)
    }

    fn close(&mut self) -> Option<()> {
        self.supersede();
        (self.status == OrderStatus::Open).then(|| self.status = OrderStatus::Closed)
    }

    pub(super) fn supersede(&mut self) {
        for attempt in self.attempts.iter_mut().filter(|attempt| !attempt.is_ended()) {
            attempt.superseded = true;
        }
    }

    fn intend_close(&mut self, n: u32, intended: bool) -> Option<()> {
        let closed = self.attempt(n)?.clone();
        let mut changed = None;
        let sharing = |attempt: &&mut Attempt| attempt.shares_trade(&closed);
        for attempt in self.attempts.iter_mut().filter(sharing) {
            if attempt.close_intended != intended && !attempt.is_ended() {
                attempt.close_intended = intended;
                changed = Some(());
            }
        }
        changed
    }

    fn advance(&mut self, n: u32, state: AttemptState) -> Option<()> {
        let attempt = self.attempts.iter_mut().find(|attempt| attempt.n == n)?;
        // A number in use: another program may have handed out what pays its trade. An unanswered
        // call may have made a trade that the buyer finds at the provider.
        let is_in_use = matches!(state, AttemptState::NumberInUse { .. });
        let is_unknown = matches!(state, AttemptState::OutcomeUnknown { .. });
        attempt.handed_out |=
            is_in_use || (is_unknown && attempt.method.product.shows_trade_to_buyer());
        (state.precedence() > attempt.state.precedence()).then(|| attempt.state = state)
    }

    fn prepare_again(&mut self, n: u32) -> Option<()> {
        let attempt = self.attempts.iter_mut().find(|attempt| attempt.n == n)?;
        attempt.state.may_be_resent().then(|| attempt.state = AttemptState::Prepared)
    }

    /// Records material for an attempt, or newer material for one that has some.
    fn hand_out(&mut self, n: u32, payable: AttemptState) -> Option<()> {
        let attempt = self.attempts.iter_mut().find(|attempt| attempt.n == n)?;
        if attempt.close_intended || payable.precedence() < attempt.state.precedence() {
            return None;
        }
        attempt.handed_out = true;
        attempt.state = payable;
        self.offer(n)
    }

    fn record_trade(&mut self, n: u32, at: Millis, update: TradeUpdate) -> Option<()> {
        let queried = self.attempt(n)?.clone();
        let sharing = |attempt: &&mut Attempt| attempt.shares_trade(&queried);
        for attempt in self.attempts.iter_mut().filter(sharing) {
            attempt.last_queried_at = Some(at);
            attempt.apply_update(n, at, &update);
        }
        if let TradeUpdate::Paid(receipt) = update {
            self.record_payment(n, at, receipt);
        }
        Some(())
    }
}

impl Attempt {
    /// Records what a provider reports of the attempt's trade. Of the attempts that share the
    /// trade, attempt `n` is the one that becomes paid.
    fn apply_update(&mut self, n: u32, at: Millis, update: &TradeUpdate) {
        let is_answered = self.is_unknown() || matches!(self.state, AttemptState::Refused { .. });
        let state = match update {
            TradeUpdate::NoAnswer | TradeUpdate::Unpaid => return,
            TradeUpdate::NotFound { date } if self.is_payable() && self.has_lapsed(at, *date) => {
                AttemptState::Closed
            }
            TradeUpdate::NotFound { .. } if is_answered => {
                self.state = AttemptState::NotFound;
                return;
            }
            TradeUpdate::NotFound { .. } => return,
            TradeUpdate::Closed => AttemptState::Closed,
            TradeUpdate::Paid(_) if self.n == n => AttemptState::Paid,
            // The buyer paid the shared trade by attempt `n`: no buyer can pay it by this one.
            TradeUpdate::Paid(_) => AttemptState::Closed,
        };
        if state.precedence() > self.state.precedence() {
            self.state = state;
        }
    }
}
