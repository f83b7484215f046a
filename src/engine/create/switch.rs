//! Another attempt of an order: the engine queries and closes everything that a buyer may still
//! pay first, or supersedes it where its provider cannot close it. An attempt that was never handed
//! out holds nothing back.

use super::run::{CreateRun, Step};
use crate::domain::order::attempt::{Attempt, AttemptState};
use crate::domain::order::{Order, TradeUpdate};
use crate::domain::time::MINUTE_MS;
use crate::engine::commit::Added;
use crate::engine::failures::{already_paid, busy};
use crate::engine::locked::LockedWork;
use crate::engine::settings::Switching;
use crate::error::{Error, Kind, Text};
use crate::provider::TradeState;

impl CreateRun<'_> {
    /// Opens another attempt of `order`.
    ///
    /// # Errors
    ///
    /// When the order was paid, may not be paid by another method, or something of it that can be
    /// paid cannot be ended: nothing was opened then.
    pub(super) async fn open_another(&self, order: Order) -> Result<Step, Error> {
        let engine = &self.locked.engine;
        self.may_switch(&order)?;
        match self.another(&order) {
            // Nothing that can be paid is closed when nothing can follow it.
            Err(error) if error.kind() == Kind::Closed && self.can_be_paid(&order) => {
                return Err(busy());
            }
            Err(error) if error.kind() != Kind::Closed => return Err(error),
            Ok(_) | Err(_) => {}
        }
        let order = Box::pin(self.locked.close_payable_trades(order)).await?;
        self.may_open_beside(&order, Attempt::is_payable)?;
        let order = Box::pin(self.confirm_unanswered(order)).await?;
        if self.may_still_lapse(&order) {
            return Err(busy());
        }
        let attempt = self.another(&order)?;
        let n = attempt.n;
        // No attempt becomes durable that no time is left to send.
        engine.providers.next_call(self.locked.budget)?;
        match engine.commits.add_attempt(&self.locked.guard, &order, attempt).await? {
            Added::Done(order) => Box::pin(self.send_new(order, n)).await,
            Added::OtherVersion(stored) => Ok(Step::Reevaluate(stored)),
        }
    }

    /// Another attempt by this request's payment method.
    ///
    /// # Errors
    ///
    /// 4105 when the order's own deadline is too near, 4104 when it has too many attempts.
    fn another(&self, order: &Order) -> Result<Attempt, Error> {
        let engine = &self.locked.engine;
        let now = engine.clock.now();
        let provider = self.resolved.key.method.provider();
        let next = order.next_attempt(provider, now).ok_or_else(too_many_attempts)?;
        if order.deadline.is_some_and(|deadline| deadline.since(now) < MINUTE_MS) {
            return Err(Error::new(Kind::Closed));
        }
        engine.plan_attempt(self.resolved, &next, order.deadline)
    }

    /// Queries this request's provider once about each attempt there that nobody can pay and whose
    /// outcome it has not confirmed. It reuses a number under which the provider has nothing, and
    /// closes a trade that exists. When the provider does not answer, another payment method gets
    /// another number; the same method waits for the answer.
    ///
    /// # Errors
    ///
    /// 4101 when one was paid; the query's error about an attempt by the same method.
    async fn confirm_unanswered(&self, order: Order) -> Result<Order, Error> {
        let method = &self.resolved.key.method;
        let needs_confirmation = |attempt: &Attempt| {
            let is_refused = matches!(attempt.state, AttemptState::Refused { .. });
            attempt.method.provider() == method.provider()
                && !attempt.is_payable()
                && (attempt.is_unknown() || is_refused)
        };
        let is_same = |n: &u32| {
            let trade = order.attempt(*n);
            order.attempts.iter().any(|attempt| {
                attempt.method == *method
                    && needs_confirmation(attempt)
                    && trade.is_some_and(|trade| attempt.shares_trade(trade))
            })
        };
        let trades = order.trades(needs_confirmation).into_iter();
        let (same, others): (Vec<u32>, Vec<u32>) = trades.partition(is_same);
        let mut order = order;
        for n in same {
            order = Box::pin(self.locked.confirm(order, n)).await?;
        }
        for n in others {
            // The next query would wait for the same silent provider.
            let Ok(next) = Box::pin(self.locked.confirm(order.clone(), n)).await else {
                order = self.locked.engine.commits.load(order.out_trade_no()).await?;
                break;
            };
            order = next;
        }
        match order.is_unpaid() {
            true => Ok(order),
            false => Err(already_paid(&order)),
        }
    }

    /// Whether the buyer holds material, and has time to pay by it.
    fn can_be_paid(&self, order: &Order) -> bool {
        let now = self.locked.engine.clock.now();
        let is_offered = |attempt: &&Attempt| order.is_offered(attempt);
        order.attempts.iter().filter(is_offered).any(|attempt| attempt.is_before_lapse(now))
    }

    /// Whether an attempt by this payment method is about to lapse, or lapsed by our clock only:
    /// another one beside it could be paid as well.
    fn may_still_lapse(&self, order: &Order) -> bool {
        let (now, method) = (self.locked.engine.clock.now(), &self.resolved.key.method);
        let is_same = |attempt: &&Attempt| attempt.method == *method && attempt.is_payable();
        order.attempts.iter().filter(is_same).any(|attempt| !attempt.has_time(now))
    }

    /// Whether the order may be paid by this request's method.
    ///
    /// # Errors
    ///
    /// 4104 while a buyer can pay it by another method, and the configuration keeps that one.
    pub(super) fn may_switch(&self, order: &Order) -> Result<(), Error> {
        let now = self.locked.engine.clock.now();
        self.may_open_beside(order, |attempt| attempt.is_payable() && attempt.is_before_lapse(now))
    }

    /// Whether this request's method may open beside the attempts that are `kept`.
    ///
    /// # Errors
    ///
    /// 4104 where the configuration allows no second method beside them, whatever our clock says.
    pub(super) fn may_open_beside(
        &self,
        order: &Order,
        kept: impl Fn(&Attempt) -> bool,
    ) -> Result<(), Error> {
        let method = &self.resolved.key.method;
        let is_other = |attempt: &Attempt| kept(attempt) && attempt.method != *method;
        let is_rejected = self.locked.engine.settings.switching == Switching::Reject;
        match is_rejected && order.attempts.iter().any(is_other) {
            true => Err(Error::new(Kind::SwitchRejected)),
            false => Ok(()),
        }
    }
}

impl LockedWork {
    /// Queries attempt `n`, which nobody can pay, and closes its trade if that exists.
    async fn confirm(&self, order: Order, n: u32) -> Result<Order, Error> {
        if order.attempt(n).is_some_and(Attempt::is_unsigned) {
            return self.record_trade(order, n, TradeUpdate::NotFound { date: None }).await;
        }
        let (order, trade) = self.query_trade(order, n).await?;
        match trade {
            TradeState::Unpaid { .. } => Box::pin(self.close_trade(order, n)).await,
            TradeState::NotFound { .. } | TradeState::Closed | TradeState::Paid(_) => Ok(order),
        }
    }
}

fn too_many_attempts() -> Error {
    Error::new(Kind::SwitchRejected).text(Text::new(
        "该订单更换支付方式的次数过多，请使用新的 out_trade_no",
        "this order changed its pay type too often; pay under a new out_trade_no",
    ))
}
