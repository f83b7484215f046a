//! The reconciler: queries providers in the background about orders that no request queries. It
//! finishes what a crash interrupted, closes what can be paid and should not be, and records what
//! expired.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tracing::Instrument as _;

use super::commit::Report;
use super::failures::CallFailure;
use super::locked::{LOCK_TIMEOUT, LockedWork, Wait};
use super::open_outcome::open_outcome;
use super::order_log::{name_account, order_span};
use super::parts::{Engine, EngineParts};
use super::providers::CallBudget;
use crate::domain::channel::ProviderId;
use crate::domain::ids::OutTradeNo;
use crate::domain::order::attempt::{Attempt, valid_until};
use crate::domain::order::open_outcome::{AfterOpen, SentBefore, after_open};
use crate::domain::order::payment::Payment;
use crate::domain::order::{Order, OrderStatus, TradeUpdate};
use crate::domain::time::{HOUR_MS, MINUTE_MS, Millis};
use crate::error::{Error, Kind};
use crate::provider::TradeState;

/// The most orders that one round takes, and the most that it works on at once, at each provider.
const ROUND_MAX: usize = 1024;
const AT_ONCE: usize = 64;

impl Engine {
    /// Queries the providers once about every order that is due: what the background does every
    /// second. Returns the number of orders, counted at each provider.
    pub async fn reconcile(&self) -> usize {
        let Ok(_operation) = self.begin_operation() else { return 0 };
        let now = self.0.clock.now();
        let mut reconciled = 0;
        for at in ProviderId::ALL {
            reconciled += self.0.reconcile_provider(at, now).await;
        }
        reconciled
    }
}

/// What an operation concerns: the trades and payments at one provider, or at any, that are due by
/// `horizon`.
#[derive(Clone, Copy)]
struct Scope {
    at: Option<ProviderId>,
    horizon: Millis,
}

/// What a query about an attempt led to.
enum Checked {
    /// The answer is recorded, and nothing else is to be done.
    Recorded,
    /// The trade waits for a buyer who should not pay it, or who did not get its material yet.
    Unpaid,
}

impl EngineParts {
    /// Reconciles `every` so often until the engine is shut down or dropped. The first round also
    /// takes what an earlier process left a moment ago: no request works on it any more.
    ///
    /// Each provider has a loop of its own: one that does not answer delays no order of another.
    /// So has a provider that is no longer configured: its loop postpones its orders, so that they
    /// do not fill the rounds of the others.
    pub(super) fn reconcile_every(self: &Arc<Self>, every: Duration) {
        for at in ProviderId::ALL {
            let engine = Arc::downgrade(self);
            let mut stopping = self.stopping.subscribe();
            let mut horizon_ms = MINUTE_MS;
            let mut latest = Millis(i64::MIN);
            self.tasks.spawn(async move {
                loop {
                    let Some(engine) = engine.upgrade() else { return };
                    let now = engine.clock.now();
                    let back_ms = latest.since(now);
                    if back_ms >= MINUTE_MS {
                        // The clock was set back: what is due by the time that it was is due.
                        horizon_ms = back_ms.saturating_add(HOUR_MS);
                    }
                    latest = now;
                    tokio::select! {
                        _ = engine.reconcile_provider(at, now.plus(horizon_ms)) => {}
                        // It gives up queries alone: what it sends, it sends in other tasks.
                        () = engine.cut_off() => return,
                    }
                    horizon_ms = 0;
                    tokio::select! {
                        () = tokio::time::sleep(every) => {}
                        () = engine.commits.superseded.added(at) => {}
                        _ = stopping.wait_for(|stopping| *stopping) => return,
                    }
                }
            });
        }
    }

    async fn reconcile_provider(self: &Arc<Self>, at: ProviderId, horizon: Millis) -> usize {
        let due = match self.store.due(horizon, ROUND_MAX).await {
            Ok(due) => due,
            Err(error) => {
                if let Some(count) = self.unlisted.count(self.clock.now()) {
                    tracing::error!(
                        %error, count, "the store did not list the orders that are due"
                    );
                }
                Vec::new()
            }
        };
        let mut reconciled = 0;
        let mut running = JoinSet::new();
        for out_trade_no in self.commits.superseded.take(at) {
            let engine = self.clone();
            running.spawn(async move { engine.close_superseded(&out_trade_no, at).await });
        }
        // These come first: what else is due of the same orders would find their locks taken.
        while let Some(done) = running.join_next().await {
            reconciled += usize::from(matches!(done, Ok(true)));
        }
        for out_trade_no in due {
            if *self.stopping.borrow() {
                break;
            }
            if running.len() >= AT_ONCE {
                reconciled += usize::from(matches!(running.join_next().await, Some(Ok(true))));
            }
            let engine = self.clone();
            let span = order_span(&out_trade_no);
            let work = async move { engine.reconcile_order(&out_trade_no, at, horizon).await };
            running.spawn(work.instrument(span));
        }
        while let Some(done) = running.join_next().await {
            reconciled += usize::from(matches!(done, Ok(true)));
        }
        reconciled
    }

    /// Closes the attempts that a buyer left by returning to an earlier one: the earlier material
    /// is handed out without a provider call, and the attempts can be paid until they are closed.
    async fn close_superseded(self: &Arc<Self>, out_trade_no: &OutTradeNo, at: ProviderId) -> bool {
        let wait = Wait::AtMost(LOCK_TIMEOUT);
        let closed = self.exclusively(out_trade_no, wait, move |locked, order| async move {
            Box::pin(locked.close_superseded(order, at)).await
        });
        matches!(closed.await, Ok(Some(())))
    }

    /// Does what is due about one order at one provider. It queries the provider without the
    /// order's lock, so that a provider that does not answer delays no request; it takes the lock
    /// where it must send something, unless somebody else works on the order.
    async fn reconcile_order(
        self: &Arc<Self>,
        out_trade_no: &OutTradeNo,
        at: ProviderId,
        horizon: Millis,
    ) -> bool {
        let Ok(Some(order)) = self.commits.find(out_trade_no).await else { return false };
        if order.due_with(at).is_none_or(|due| due > horizon) {
            return false;
        }
        name_account(&order);
        let unpaid = self.query_due_trades(order, Scope { at: Some(at), horizon }).await;
        self.finish_trades(out_trade_no, Some(at), unpaid).await;
        true
    }

    /// Closes, in the background, what can still be paid of an order that is paid or closed, and
    /// refunds what was paid too much.
    pub(super) fn settle_leftovers(self: &Arc<Self>, order: &Order) {
        let now = self.clock.now();
        let is_due = |payment: &Payment| payment.auto_refund_due().is_some_and(|due| due <= now);
        let is_left = !order.open_trades().is_empty() || order.payments.iter().any(is_due);
        if order.status == OrderStatus::Open || !is_left {
            return;
        }
        let (engine, order) = (self.clone(), order.clone());
        let span = order_span(order.out_trade_no());
        let work = async move {
            name_account(&order);
            let out_trade_no = order.out_trade_no().clone();
            let scope = Scope { at: None, horizon: Millis(i64::MAX) };
            let unpaid = engine.query_due_trades(order, scope).await;
            engine.finish_trades(&out_trade_no, None, unpaid).await;
        };
        self.tasks.spawn(work.instrument(span));
    }

    /// Closes trades that wait for their buyer, or sends them again, and retries the refunds that
    /// are due. Another operation that has the lock leaves this to the next round.
    async fn finish_trades(
        self: &Arc<Self>,
        out_trade_no: &OutTradeNo,
        at: Option<ProviderId>,
        unpaid: Vec<u32>,
    ) {
        let finished = self.exclusively(out_trade_no, Wait::No, move |locked, order| async move {
            locked.finish_trades(order, at, unpaid).await;
            Ok(())
        });
        // The next round takes what this one could not finish.
        drop(finished.await);
    }

    /// Queries the trades of `order` that are due, and makes the answers durable. Returns the
    /// trades that must be closed or sent again.
    async fn query_due_trades(&self, order: Order, scope: Scope) -> Vec<u32> {
        let mut order = order;
        let mut unpaid = Vec::new();
        let budget = self.providers.budget();
        for n in due_trades(&order, scope) {
            if order.attempt(n).is_some_and(Attempt::is_unsigned) {
                unpaid.push(n);
                continue;
            }
            match Box::pin(self.check_trade(order, n, budget)).await {
                Some((next, Checked::Recorded)) => order = next,
                Some((next, Checked::Unpaid)) => {
                    unpaid.push(n);
                    order = next;
                }
                None => break,
            }
        }
        unpaid
    }

    /// Queries attempt `n` without the order's lock. It records the answer only when nobody
    /// queried or sent the attempt meanwhile, but a payment in any case. [`None`] when it could
    /// not be recorded.
    async fn check_trade(
        &self,
        order: Order,
        n: u32,
        budget: CallBudget,
    ) -> Option<(Order, Checked)> {
        let before = order.attempt(n)?.clone();
        let update = match self.query_paced(&order, n, budget).await {
            // The holder of the lock closes it, or sends it again.
            Ok(TradeState::Unpaid { .. }) if !order.stays_open(&before, self.clock.now()) => {
                return Some((order, Checked::Unpaid));
            }
            Ok(trade) => self.providers.trade_update(&trade),
            // It is queried again later.
            Err(_) => TradeUpdate::NoAnswer,
        };
        let at = self.clock.now();
        let is_as_before = |order: &Order| {
            order.attempt(n).is_some_and(|attempt| attempt.is_unchanged_since(&before))
        };
        let decide = |order: &Order| {
            let holds = matches!(update, TradeUpdate::Paid(_)) || is_as_before(order);
            holds.then(|| Report::trade(n, at, update.clone()))
        };
        let order = self.commits.report_if(order, decide).await.ok()?;
        Some((order, Checked::Recorded))
    }

    /// Queries attempt `n`, unless its account recovers from an outage and got its share of
    /// queries.
    async fn query_paced(
        &self,
        order: &Order,
        n: u32,
        budget: CallBudget,
    ) -> Result<TradeState, Error> {
        let context = self.providers.context(order, n)?;
        if !self.providers.breakers.may_query(&context.account) {
            return Err(Error::new(Kind::NotSent));
        }
        let call = self.providers.next_call(budget)?;
        let queried = self.providers.query_trade(context, call).await;
        queried.map_err(|failure| failure.call_error())
    }
}

impl LockedWork {
    async fn close_superseded(&self, order: Order, at: ProviderId) -> Result<(), Error> {
        let superseded = order.trades(|attempt| {
            let is_here = attempt.method.provider() == at;
            attempt.is_payable() && attempt.superseded && is_here
        });
        let mut order = order;
        for n in superseded {
            // After an error the next round closes it.
            order = Box::pin(self.finish_trade(order, n)).await?;
        }
        Ok(())
    }

    async fn finish_trades(&self, order: Order, at: Option<ProviderId>, unpaid: Vec<u32>) {
        let mut order = order;
        for n in unpaid {
            order = match Box::pin(self.finish_trade(order.clone(), n)).await {
                Ok(next) => next,
                // It is queried again later.
                Err(_) => match self.record_trade(order, n, TradeUpdate::NoAnswer).await {
                    Ok(next) => next,
                    Err(_) => return,
                },
            };
        }
        Box::pin(self.retry_refunds(order, at)).await;
    }

    /// Queries attempt `n`; sends it again when its outcome was unknown and its buyer waits for
    /// it, and closes it when nobody is meant to pay it.
    async fn finish_trade(&self, order: Order, n: u32) -> Result<Order, Error> {
        if order.attempt(n).is_some_and(Attempt::is_unsigned) {
            return self.record_trade(order, n, TradeUpdate::NotFound { date: None }).await;
        }
        let (order, trade) = self.query_trade(order, n).await?;
        let Some(attempt) = order.attempt(n) else { return Ok(order) };
        if !matches!(trade, TradeState::Unpaid { .. }) {
            return Ok(order);
        }
        let now = self.engine.clock.now();
        if order.awaits_material(attempt, now) {
            return Box::pin(self.send_again(order, n)).await;
        }
        if order.stays_open(attempt, now) {
            return Ok(order);
        }
        Box::pin(self.close_trade(order, n)).await
    }

    /// Sends attempt `n`, whose trade exists, again as it was, so that its material is there when
    /// its client asks for it. A trade that the provider does not give out again is closed, so that
    /// another attempt can follow.
    async fn send_again(&self, order: Order, n: u32) -> Result<Order, Error> {
        let providers = &self.engine.providers;
        let context = providers.context(&order, n)?;
        let (product, expires_at) = (context.attempt.method.product, context.attempt.expires_at);
        let opened = providers.open(context, providers.next_call(self.budget)?).await;
        let error = opened.as_ref().err().map(CallFailure::call_error);
        let valid_until = valid_until(product, self.engine.clock.now(), expires_at);
        match after_open(n, SentBefore::Unpaid, open_outcome(opened, valid_until)) {
            AfterOpen::HandOut(answered) => self.record(order, answered).await,
            AfterOpen::NewAttempt | AfterOpen::Reevaluate(_) => {
                Box::pin(self.close_trade(order, n)).await
            }
            AfterOpen::Retry(_) | AfterOpen::Fail(_) | AfterOpen::Contradiction { .. } => {
                Err(error.unwrap_or_else(|| Error::new(Kind::OutcomeUnknown)))
            }
        }
    }
}

/// The attempts in scope that are due: one for each trade.
fn due_trades(order: &Order, scope: Scope) -> Vec<u32> {
    order.trades(|attempt| {
        let is_here = scope.at.is_none_or(|at| attempt.method.provider() == at);
        is_here && order.due_of(attempt).is_some_and(|due| due <= scope.horizon)
    })
}
