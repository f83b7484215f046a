//! Another attempt: everything of the order that a buyer may still pay is asked about and ended
//! first, or superseded where its provider ends nothing. What was handed out to nobody holds
//! nothing back.

use super::run::{CreateRun, Step};
use super::{busy, unreachable_store};
use crate::domain::order::attempt::{Attempt, AttemptState};
use crate::domain::order::{Order, OrderStatus, TradeUpdate, Transition};
use crate::domain::time::MINUTE_MS;
use crate::engine::Inner;
use crate::engine::call_budget::Budget;
use crate::engine::commit::lost;
use crate::error::{Error, Kind, Text};
use crate::provider::TradeState;
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

impl CreateRun<'_> {
    /// Opens another attempt of `order`.
    ///
    /// # Errors
    ///
    /// When the order was paid, may not be paid in another way, or something of it that may be
    /// paid cannot be ended: nothing was opened then.
    pub(in crate::engine) async fn next(&self, order: Order) -> Result<Step, Error> {
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
        let order = self.engine.close_payable_trades(order, self.budget).await?;
        self.may_leave(&order, Attempt::is_payable)?;
        let order = self.confirm_unanswered(order).await?;
        if self.may_still_lapse(&order) {
            return Err(busy());
        }
        let attempt = self.another(&order)?;
        let n = attempt.n;
        // Nothing is laid down that no time is left to send.
        self.engine.call(self.budget)?;
        let next = order
            .apply(Transition::Opened(Box::new(attempt)))
            .ok_or_else(|| Error::new(Kind::OutcomeUnknown))?;
        let committed = self.engine.store.commit(&next, &[]).await;
        match committed.map_err(|error| unreachable_store(&error))? {
            Committed::Done => self.send_first(next, n).await,
            Committed::OtherVersion(stored) => Ok(Step::Reevaluate(*stored)),
            Committed::Lost => Err(lost(&order)),
        }
    }

    /// Another attempt by this request's way, laid down.
    ///
    /// # Errors
    ///
    /// 4105 when the order's own deadline is too near, 4104 when it had attempts enough.
    fn another(&self, order: &Order) -> Result<Attempt, Error> {
        let provider = self.incoming.method.provider();
        let now = self.engine.clock.now();
        let trade = order.next_attempt(provider, now).ok_or_else(too_many)?;
        if order.deadline.is_some_and(|it| it.since(now) < MINUTE_MS) {
            return Err(Error::new(Kind::Closed));
        }
        self.engine.attempt(self.incoming, &trade, order.deadline)
    }

    /// Asks the provider of this request once about each attempt there that nobody can pay and
    /// whose outcome it has not confirmed: where it knows nothing of one, its number is used again;
    /// what exists is closed. Where it does not answer, another way to pay gets another number; the
    /// same way waits for the answer.
    ///
    /// # Errors
    ///
    /// 4101 when one was paid; whatever keeps the provider from telling about the same way.
    async fn confirm_unanswered(&self, order: Order) -> Result<Order, Error> {
        let provider = self.incoming.method.provider();
        let is_own = |it: &Attempt| {
            let is_refused = matches!(it.state, AttemptState::Refused { .. });
            it.method.provider() == provider && !it.is_payable() && (it.is_unknown() || is_refused)
        };
        let mut order = order;
        let mut is_silent = false;
        for n in order.trades(is_own) {
            let trade = order.attempt(n).cloned();
            let is_same_way = |it: &Attempt| it.method == self.incoming.method && is_own(it);
            let is_same = trade.is_some_and(|trade| {
                order.attempts.iter().any(|it| is_same_way(it) && it.shares_trade(&trade))
            });
            if is_silent && !is_same {
                continue;
            }
            order = match self.engine.confirm(order.clone(), n, self.budget).await {
                Ok(order) => order,
                Err(error) if is_same => return Err(error),
                Err(_) => {
                    is_silent = true;
                    self.engine.load(order.out_trade_no()).await?
                }
            };
            if !is_open(&order) {
                return Err(already_paid(&order));
            }
        }
        Ok(order)
    }

    /// Whether the buyer has something in hand, and time to pay it.
    fn may_be_paid(&self, order: &Order) -> bool {
        let now = self.engine.clock.now();
        order.attempts.iter().any(|it| order.is_offered(it) && now < it.lapses())
    }

    /// Whether what was handed out for this way is about to lapse, or lapsed by our clock only:
    /// beside it nothing opens that could be paid as well.
    fn may_still_lapse(&self, order: &Order) -> bool {
        let now = self.engine.clock.now();
        let is_same = |it: &Attempt| it.method == self.incoming.method && it.is_payable();
        order.attempts.iter().any(|it| is_same(it) && it.ends() <= now)
    }

    /// Whether the order may be paid by this request's way.
    ///
    /// # Errors
    ///
    /// 4104 while a buyer can pay it in another way, and that is to stay so.
    pub(in crate::engine) fn may_switch(&self, order: &Order) -> Result<(), Error> {
        let now = self.engine.clock.now();
        let is_payable = |it: &&Attempt| it.is_payable() && now < it.lapses();
        let other =
            order.attempts.iter().filter(is_payable).any(|it| it.method != self.incoming.method);
        if other && self.engine.settings.switching == Switching::Reject {
            return Err(Error::new(Kind::SwitchRejected));
        }
        Ok(())
    }

    /// Whether this request's way may open beside what was `kept`: asked about, and not ended.
    ///
    /// # Errors
    ///
    /// 4104 where no second way is to be opened beside it, whatever our clock says of it.
    pub(in crate::engine) fn may_leave(
        &self,
        order: &Order,
        kept: impl Fn(&Attempt) -> bool,
    ) -> Result<(), Error> {
        let other = order.attempts.iter().any(|it| kept(it) && it.method != self.incoming.method);
        if other && self.engine.settings.switching == Switching::Reject {
            return Err(Error::new(Kind::SwitchRejected));
        }
        Ok(())
    }
}

impl Inner {
    /// Asks about everything of the order that a buyer may pay before anything is closed; then
    /// closes what waits for its buyer. What is left has no trade at its provider yet, and may get
    /// one until it expires.
    ///
    /// # Errors
    ///
    /// 4101 when it was paid; whatever keeps a trade from being ended.
    pub(in crate::engine) async fn close_payable_trades(
        &self,
        order: Order,
        budget: Budget,
    ) -> Result<Order, Error> {
        let (order, waiting) = self.query_payable_trades(order, |_| true, budget).await?;
        self.close_trades(order, &waiting, budget).await
    }

    /// Asks about each trade of the order that a buyer may pay and that is `wanted`; returns those
    /// that wait for their buyer.
    ///
    /// # Errors
    ///
    /// 4101 when it was paid, any other when a provider cannot tell, or contradicts itself.
    pub(in crate::engine) async fn query_payable_trades(
        &self,
        order: Order,
        wanted: impl Fn(&Attempt) -> bool,
        budget: Budget,
    ) -> Result<(Order, Vec<u32>), Error> {
        let mut order = order;
        let mut waiting = Vec::new();
        for n in order.trades(|it| it.is_payable() && wanted(it)) {
            let trade;
            (order, trade) = self.query_trade(order, n, budget).await?;
            if !is_open(&order) {
                return Err(already_paid(&order));
            }
            let attempt = order.attempt(n).ok_or_else(|| Error::new(Kind::OutcomeUnknown))?;
            match (trade, &attempt.state) {
                (TradeState::Unpaid { .. }, _) => waiting.push(n),
                (TradeState::NotFound { .. }, AttemptState::NumberInUse { code }) => {
                    return Err(contradiction(&order, n, code));
                }
                (TradeState::NotFound { .. }, _) if attempt.has_trade_at_once() => {
                    return Err(contradiction(&order, n, ""));
                }
                (TradeState::NotFound { .. } | TradeState::Closed | TradeState::Paid(_), _) => {}
            }
        }
        Ok((order, waiting))
    }

    /// Closes each of these trades.
    ///
    /// # Errors
    ///
    /// 4101 when one was paid; whatever keeps a trade from being ended.
    pub(in crate::engine) async fn close_trades(
        &self,
        order: Order,
        trades: &[u32],
        budget: Budget,
    ) -> Result<Order, Error> {
        let mut order = order;
        for (nth, n) in trades.iter().enumerate() {
            let closed = self.close(order, *n, budget).await;
            order = closed.map_err(|error| match error.kind() {
                // The first one may be closed.
                Kind::NotSent if nth > 0 => error.into_kind(Kind::OutcomeUnknown),
                _ => error,
            })?;
            if !is_open(&order) {
                return Err(already_paid(&order));
            }
        }
        Ok(order)
    }

    /// Asks about attempt `n`, which nobody can pay, and closes it where its trade exists.
    async fn confirm(&self, order: Order, n: u32, budget: Budget) -> Result<Order, Error> {
        if order.attempt(n).is_some_and(Attempt::is_unsigned) {
            return self.record_trade(order, n, TradeUpdate::NotFound { date: None }).await;
        }
        let (order, trade) = self.query_trade(order, n, budget).await?;
        match trade {
            TradeState::Unpaid { .. } => self.close(order, n, budget).await,
            TradeState::NotFound { .. } | TradeState::Closed | TradeState::Paid(_) => Ok(order),
        }
    }
}

/// 4101, with the order's status.
pub(in crate::engine) fn already_paid(order: &Order) -> Error {
    Error::new(Kind::AlreadyPaid).order_status(order.status.number())
}

/// 5002: the provider says that it has a trade under the number, and that it has none.
pub(in crate::engine) fn contradiction(order: &Order, n: u32, code: &str) -> Error {
    let out_trade_no = order.out_trade_no();
    tracing::error!(
        %out_trade_no,
        n,
        code,
        "a provider contradicts itself: it has a trade under the number, and knows of none"
    );
    match code {
        "" => Error::new(Kind::OutcomeUnknown),
        _ => Error::new(Kind::OutcomeUnknown).provider_said(code, ""),
    }
}

fn is_open(order: &Order) -> bool {
    order.status == OrderStatus::Open && !order.flags.mismatch
}

fn too_many() -> Error {
    Error::new(Kind::SwitchRejected).text(Text::new(
        "该订单更换支付方式的次数过多，请使用新的订单号",
        "this order changed its way to pay too often: pay under a new number",
    ))
}
