//! The reconciler: asks providers about what nobody asks about any more. What a crash left between
//! phases, what may be paid and should not, and what lapsed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::call_budget::Budget;
use super::circuit_breaker::Operation;
use super::close::LOCK_TIMEOUT;
use super::order_lock::OrderGuard;
use super::provider_calls::CallFailure;
use super::{Engine, Inner};
use crate::domain::channel::ProviderId;
use crate::domain::ids::OutTradeNo;
use crate::domain::order::attempt::{Attempt, valid_until};
use crate::domain::order::payment::Payment;
use crate::domain::order::{Order, OrderStatus, TradeUpdate, Transition};
use crate::domain::time::{MINUTE_MS, Millis};
use crate::error::{Error, Kind};
use crate::provider::{Failure, TradeState};

/// Orders that one round takes, and orders that are asked about at once, at each provider.
const ROUND_MAX: usize = 1024;
const AT_ONCE: usize = 64;

/// The providers are looked after apart: one that does not answer keeps nobody from the other.
const PROVIDERS: [ProviderId; 2] = [ProviderId::Wxpay, ProviderId::Alipay];

impl Engine {
    /// Asks the providers once about every order that is due: what the background does every
    /// second. Returns how many orders were looked after, at each provider.
    pub async fn reconcile(&self) -> usize {
        let now = self.0.clock.now();
        let mut pending_refunds = 0;
        for at in PROVIDERS {
            pending_refunds += self.0.reconcile(at, now).await;
        }
        pending_refunds
    }
}

/// The orders whose buyers went back to earlier material, until somebody closes the later.
#[derive(Debug, Default)]
pub(super) struct Superseded {
    numbers: Mutex<Vec<OutTradeNo>>,
    some: Notify,
}

impl Superseded {
    /// More than these the next rounds find.
    const MAX: usize = 1024;

    pub(super) fn add(&self, out_trade_no: &OutTradeNo) {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        if numbers.len() < Superseded::MAX {
            numbers.push(out_trade_no.clone());
            self.some.notify_one();
        }
    }

    fn take(&self) -> Vec<OutTradeNo> {
        std::mem::take(&mut *self.numbers.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Inner {
    /// Reconciles `every` so often until the engine is shut down or dropped. The first round also
    /// takes what an earlier process left a moment ago: nobody works on it any more.
    pub(super) fn watch(self: &Arc<Self>, every: Duration) {
        for at in PROVIDERS {
            let engine = Arc::downgrade(self);
            let mut stopping = self.stopping.subscribe();
            let mut horizon_ms = MINUTE_MS;
            self.tasks.spawn(async move {
                loop {
                    let Some(engine) = engine.upgrade() else { return };
                    let now = engine.clock.now();
                    engine.reconcile(at, now.plus(horizon_ms)).await;
                    horizon_ms = 0;
                    tokio::select! {
                        () = tokio::time::sleep(every) => {}
                        () = engine.superseded_orders.some.notified(), if at == ProviderId::Wxpay => {}
                        _ = stopping.wait_for(|it| *it) => return,
                    }
                }
            });
        }
    }

    async fn reconcile(self: &Arc<Self>, at: ProviderId, horizon: Millis) -> usize {
        let due = match self.store.due(horizon, ROUND_MAX).await {
            Ok(due) => due,
            Err(error) => {
                tracing::warn!(%error, "the store could not tell which orders are due");
                Vec::new()
            }
        };
        let mut pending_refunds = 0;
        let mut running = JoinSet::new();
        let superseded_orders =
            if at == ProviderId::Wxpay { self.superseded_orders.take() } else { Vec::new() };
        for out_trade_no in superseded_orders {
            let engine = self.clone();
            running.spawn(async move { engine.close_superseded(&out_trade_no).await });
        }
        // These come first: what else is due of the same orders would find them busy.
        while let Some(done) = running.join_next().await {
            pending_refunds += usize::from(matches!(done, Ok(true)));
        }
        for out_trade_no in due {
            if *self.stopping.borrow() {
                break;
            }
            if running.len() >= AT_ONCE {
                pending_refunds += usize::from(matches!(running.join_next().await, Some(Ok(true))));
            }
            let engine = self.clone();
            running.spawn(async move { engine.reconcile_at(&out_trade_no, at, horizon).await });
        }
        while let Some(done) = running.join_next().await {
            pending_refunds += usize::from(matches!(done, Ok(true)));
        }
        pending_refunds
    }

    /// Closes what a buyer turned away from who went back to earlier material: that is handed out
    /// without a call to any provider, and what it replaces can be paid until it is closed.
    async fn close_superseded(self: &Arc<Self>, out_trade_no: &OutTradeNo) -> bool {
        let Some(lead) = self.locks.lock(out_trade_no, LOCK_TIMEOUT).await else { return false };
        let Some(mut order) = self.known(out_trade_no).await else { return false };
        lead.claimed(&order.fingerprint);
        // Alipay's are superseded because they could not be closed.
        let superseded_orders = order.trades(|it| {
            it.is_payable() && it.superseded && it.method.provider() == ProviderId::Wxpay
        });
        for n in superseded_orders {
            match self.reconcile_attempt(order, n, self.budget()).await {
                Ok(next) => order = next,
                // The next round looks after it.
                Err(_) => return false,
            }
        }
        true
    }

    /// Looks after the order `no` at one provider, if there is something to do. The provider is
    /// asked without the order's turn, so that one that does not answer holds up nobody; the turn
    /// is taken where something is to be sent, unless somebody else works on the order.
    async fn reconcile_at(
        &self,
        out_trade_no: &OutTradeNo,
        at: ProviderId,
        horizon: Millis,
    ) -> bool {
        let Some(order) = self.known(out_trade_no).await else { return false };
        if order.due_at(at).is_none_or(|due| due > horizon) {
            return false;
        }
        let trades = self.look_at_all(order, (Some(at), horizon)).await;
        // Who works on it now leaves the rest to the next round.
        if let Some(lead) = self.locks.try_lock(out_trade_no) {
            self.finish_trades(&lead, out_trade_no, (Some(at), trades)).await;
        }
        true
    }

    /// Asks about what is due of `order` and makes durable what is said. Returns the trades that
    /// something is to be done about.
    async fn look_at_all(&self, order: Order, what: (Option<ProviderId>, Millis)) -> Vec<u32> {
        let mut order = order;
        let mut waiting = Vec::new();
        let budget = self.budget();
        for n in due_trades(&order, what) {
            if order.attempt(n).is_some_and(Attempt::is_unsigned) {
                waiting.push(n);
                continue;
            }
            match self.look(order, n, budget).await {
                Some((next, Looked::Known)) => order = next,
                Some((next, Looked::Waits)) => {
                    waiting.push(n);
                    order = next;
                }
                None => break,
            }
        }
        waiting
    }

    /// Asks about attempt `n` without the order's turn. What is said is recorded only of an attempt
    /// that nobody asked about or sent meanwhile, except that money was paid. `None` when it could
    /// not be recorded.
    async fn look(&self, order: Order, n: u32, budget: Budget) -> Option<(Order, Looked)> {
        let before = order.attempt(n)?.clone();
        let said = match self.look_for(&order, n, budget).await {
            // It is closed, or sent again, by who has the turn.
            Ok(TradeState::Unpaid { .. }) if !self.is_to_stay(&order, &before) => {
                return Some((order, Looked::Waits));
            }
            Ok(trade) => self.to_update(&trade),
            // What stays unknown is asked again later.
            Err(_) => TradeUpdate::NoAnswer,
        };
        let at = self.clock.now();
        let is_as_before = |order: &Order| {
            order.attempt(n).is_some_and(|it| {
                it.state == before.state && it.last_queried_at == before.last_queried_at
            })
        };
        let decide = |order: &Order| {
            let holds = matches!(said, TradeUpdate::Paid(_)) || is_as_before(order);
            holds.then(|| Transition::TradeQueried { n, at, said: said.clone() })
        };
        let order = self.record_if(order, decide).await.ok()?;
        Some((order, Looked::Known))
    }

    async fn look_for(&self, order: &Order, n: u32, budget: Budget) -> Result<TradeState, Error> {
        let at = self.provider_of(order, n)?;
        if !self.breakers.may_look(&at.account) {
            return Err(Error::new(Kind::NotSent));
        }
        let asked = at.provider.query(at.attempt, self.call(budget)?);
        let asked = self.guarded(at.account, Operation::Query, asked).await;
        asked.map_err(|failure| failure.query_error())
    }

    /// Whether an attempt whose trade waits for its buyer is left as it is: the buyer is meant to
    /// pay it, and has time to.
    fn is_to_stay(&self, order: &Order, attempt: &Attempt) -> bool {
        order.offered_until(attempt).is_some_and(|until| self.clock.now() < until)
    }

    async fn known(&self, out_trade_no: &OutTradeNo) -> Option<Order> {
        match self.store.load(out_trade_no).await {
            Ok(order) => order,
            Err(error) => {
                tracing::warn!(%error, "an order could not be read");
                None
            }
        }
    }

    /// Ends what may still be paid of an order that is paid, or closed, and returns what it was
    /// paid too much, in the background.
    pub(super) fn settle_leftovers(self: &Arc<Self>, order: &Order) {
        let out_trade_no = order.out_trade_no().clone();
        let is_over = order.open_trades().is_empty();
        let now = self.clock.now();
        let is_due = |it: &Payment| it.auto_refund_due().is_some_and(|due| due <= now);
        let owes = order.payments.iter().any(is_due);
        if order.status == OrderStatus::Open || (is_over && !owes) {
            return;
        }
        let (engine, order) = (self.clone(), order.clone());
        self.tasks.spawn(async move {
            let trades = engine.look_at_all(order, (None, Millis(i64::MAX))).await;
            // Whoever works on it now leaves the rest to the next round.
            if let Some(lead) = engine.locks.try_lock(&out_trade_no) {
                engine.finish_trades(&lead, &out_trade_no, (None, trades)).await;
            }
        });
    }

    /// Looks after the order `no`, which nobody else works on: the trades that wait to be closed or
    /// sent again, and the refunds that are due at one provider, or at any.
    async fn finish_trades(
        &self,
        lead: &OrderGuard,
        out_trade_no: &OutTradeNo,
        what: (Option<ProviderId>, Vec<u32>),
    ) {
        let (at, trades) = what;
        let Some(mut order) = self.known(out_trade_no).await else { return };
        lead.claimed(&order.fingerprint);
        let budget = self.budget();
        for n in trades {
            let told = self.reconcile_attempt(order.clone(), n, budget).await;
            // What stays unknown is asked again later.
            let next = match told {
                Ok(next) => next,
                Err(_) => match self.record_trade(order, n, TradeUpdate::NoAnswer).await {
                    Ok(next) => next,
                    Err(_) => return,
                },
            };
            order = next;
        }
        self.reconcile_refunds(order, at, budget).await;
    }

    async fn reconcile_attempt(
        &self,
        order: Order,
        n: u32,
        budget: Budget,
    ) -> Result<Order, Error> {
        if order.attempt(n).is_some_and(Attempt::is_unsigned) {
            return self.record_trade(order, n, TradeUpdate::NotFound { date: None }).await;
        }
        let (order, trade) = self.query_trade(order, n, budget).await?;
        let Some(attempt) = order.attempt(n) else { return Ok(order) };
        if !matches!(trade, TradeState::Unpaid { .. }) {
            return Ok(order);
        }
        let now = self.clock.now();
        let is_open = order.status == OrderStatus::Open && !order.flags.mismatch;
        let is_wanted = is_open && order.current().n == n && !attempt.superseded;
        let is_due = attempt.is_unknown() && !attempt.close_intended;
        if is_wanted && is_due && attempt.expires_at.since(now) > MINUTE_MS {
            return self.send_again(order, n, budget).await;
        }
        if self.is_to_stay(&order, attempt) {
            return Ok(order);
        }
        self.close(order, n, budget).await
    }

    /// Sends attempt `n`, whose trade exists, again as it was, so that its material is there when
    /// its client asks.
    async fn send_again(&self, order: Order, n: u32, budget: Budget) -> Result<Order, Error> {
        let at = self.provider_of(&order, n)?;
        let (product, expires) = (at.attempt.method.product, at.attempt.expires_at);
        match self.open_at(at, self.call(budget)?).await {
            Ok(material) => {
                let valid_until = valid_until(product, self.clock.now(), expires);
                self.record(order, Transition::Answered { n, material, valid_until }).await
            }
            // The trade is not given out again: it is closed, so that another one can follow.
            Err(CallFailure::Failed(Failure::Refused { .. } | Failure::NumberInUse { .. })) => {
                self.close(order, n, budget).await
            }
            Err(failure) => Err(failure.query_error()),
        }
    }
}

/// What came of a question about an attempt.
enum Looked {
    /// It is recorded, and nothing else is to be done.
    Known,
    /// Its trade waits for a buyer who should not pay it, or who was not given it yet.
    Waits,
}

/// The attempts about which a provider, or any, is to be asked by then: one for each trade.
fn due_trades(order: &Order, (at, horizon): (Option<ProviderId>, Millis)) -> Vec<u32> {
    let is_here = |it: &Attempt| at.is_none_or(|at| it.method.provider() == at);
    order.trades(|it| is_here(it) && order.due_of(it).is_some_and(|due| due <= horizon))
}
