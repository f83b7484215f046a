//! Another attempt: everything of the order that may still be paid is asked about and ended
//! first, or superseded where its provider ends nothing.

use super::Inner;
use super::ask::lost;
use super::budget::Budget;
use super::create::{busy, unreachable_store};
use super::story::{Prior, Step, Story};
use crate::domain::attempt::{Attempt, AttemptState};
use crate::domain::order::{Event, Order, OrderStatus, Said};
use crate::domain::time::MINUTE_MS;
use crate::error::{Error, Kind, Text};
use crate::provider::Trade;
use crate::store::Committed;

/// What becomes of an unpaid order that is to be paid in another way (`PAYGATE_SWITCH`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Switching {
    /// What may be paid is closed, or superseded where that is not possible, and another attempt
    /// opens.
    #[default]
    Close,
    /// It is refused while the first way can be paid.
    Reject,
}

impl Story<'_> {
    /// Opens another attempt of `order`.
    ///
    /// # Errors
    ///
    /// When the order was paid, may not be paid in another way, or something of it that may be
    /// paid cannot be ended: nothing was opened then.
    pub(super) async fn next(&self, order: Order) -> Result<Step, Error> {
        self.engine.forget(&order);
        self.may_switch(&order)?;
        match self.another(&order) {
            // Nothing that can be paid is closed when nothing can follow it.
            Err(error) if error.kind() == Kind::Closed && self.may_be_paid(&order) => {
                return Err(busy());
            }
            Err(error) if error.kind() != Kind::Closed => return Err(error),
            Ok(_) | Err(_) => {}
        }
        let rejects = self.engine.settings.switching == Switching::Reject;
        let is_kept = |it: &Attempt| rejects && it.is_unknown() && it.way != self.incoming.way;
        let order = self.engine.end_all(order, is_kept, self.budget).await?;
        let attempt = self.another(&order)?;
        let n = attempt.n;
        let order = order
            .apply(Event::Opened(Box::new(attempt)))
            .ok_or_else(|| Error::new(Kind::OutcomeUnknown))?;
        let committed = self.engine.store.commit(&order, &[]).await;
        match committed.map_err(|error| unreachable_store(&error))? {
            Committed::Done => self.send(order, n, Prior::Fresh).await,
            Committed::OtherVersion(stored) => Ok(Step::Again(*stored)),
            Committed::Lost => Err(lost(&order)),
        }
    }

    /// Another attempt by this request's way, laid down.
    ///
    /// # Errors
    ///
    /// 4105 when the order's own deadline is too near, 4104 when it had attempts enough.
    fn another(&self, order: &Order) -> Result<Attempt, Error> {
        let provider = self.incoming.way.provider();
        let now = self.engine.clock.now();
        let trade = order.next_trade(provider, now).ok_or_else(too_many)?;
        if order.deadline.is_some_and(|it| it.since(now) < MINUTE_MS) {
            return Err(Error::new(Kind::Closed));
        }
        self.engine.attempt(self.incoming, &trade, order.deadline)
    }

    /// Whether the buyer has something in hand, and time to pay it.
    fn may_be_paid(&self, order: &Order) -> bool {
        let now = self.engine.clock.now();
        order.attempts.iter().any(|it| order.is_offered(it) && now < it.lapses())
    }

    fn may_switch(&self, order: &Order) -> Result<(), Error> {
        let now = self.engine.clock.now();
        let is_payable = |it: &&Attempt| it.is_live() && it.handed_out && now < it.lapses();
        let other = order.attempts.iter().filter(is_payable).any(|it| it.way != self.incoming.way);
        if other && self.engine.settings.switching == Switching::Reject {
            return Err(Error::new(Kind::SwitchRejected));
        }
        Ok(())
    }
}

impl Inner {
    /// Asks about everything of the order that may be paid, or may have been, before anything is
    /// closed; then closes what waits for its buyer. What is left has no trade at its provider
    /// yet, and may get one until it expires. `keep` says what may not be closed.
    ///
    /// # Errors
    ///
    /// 4101 when it was paid; whatever keeps a trade from being ended.
    pub(super) async fn end_all(
        &self,
        order: Order,
        keep: impl Fn(&Attempt) -> bool,
        budget: Budget,
    ) -> Result<Order, Error> {
        let mut order = order;
        let mut waiting = Vec::new();
        for n in order.trades(is_to_be_asked) {
            if is_unsigned(&order, n) {
                // Nothing of it left this machine: no provider is asked.
                order = self.said(order, n, Said::Absent).await?;
                continue;
            }
            let trade;
            (order, trade) = self.ask(order, n, budget).await?;
            if !is_open(&order) {
                return Err(already_paid(&order));
            }
            if matches!(trade, Trade::Unpaid { .. }) {
                waiting.push(n);
            }
        }
        for n in waiting {
            if order.attempt(n).is_some_and(&keep) {
                return Err(Error::new(Kind::SwitchRejected));
            }
            order = self.close(order, n, budget).await?;
            if !is_open(&order) {
                return Err(already_paid(&order));
            }
        }
        Ok(order)
    }
}

/// 4101, with the order's status.
pub(super) fn already_paid(order: &Order) -> Error {
    Error::new(Kind::AlreadyPaid).order_status(order.status.number())
}

fn is_open(order: &Order) -> bool {
    order.status == OrderStatus::Open && !order.flags.mismatch
}

/// Nobody ever got a signature for it, and the provider never heard of it.
pub(super) fn is_unsigned(order: &Order, n: u32) -> bool {
    order
        .attempt(n)
        .is_some_and(|it| it.state == AttemptState::Prepared && it.way.product.is_local())
}

/// What may be paid, what nothing is known of, and what a provider refused or did not know, whose
/// number would be used again.
fn is_to_be_asked(attempt: &Attempt) -> bool {
    let is_sent_void = attempt.is_void() && attempt.state != AttemptState::Unsent;
    attempt.is_live() || attempt.is_unknown() || is_sent_void
}

fn too_many() -> Error {
    Error::new(Kind::SwitchRejected).text(Text::new(
        "该订单更换支付方式的次数过多，请使用新的订单号",
        "this order changed its way to pay too often: pay under a new number",
    ))
}
