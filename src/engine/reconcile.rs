//! The reconciler: asks providers about what nobody asks about any more. What a crash left between
//! phases, what may be paid and should not, and what lapsed.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::budget::Budget;
use super::flight::Lead;
use super::switch::is_unsigned;
use super::{Engine, Inner};
use crate::domain::attempt::valid_until;
use crate::domain::ids::OutTradeNo;
use crate::domain::order::{Event, Order, OrderStatus, Said};
use crate::domain::refund::Payment;
use crate::domain::time::{MINUTE_MS, Millis};
use crate::error::{Error, Kind};
use crate::provider::{Failure, Trade};

/// Orders that one round takes, and orders that are asked about at once.
const ROUND_MAX: usize = 1024;
const AT_ONCE: usize = 64;

impl Engine {
    /// Asks the providers once about every order that is due: what the background does every
    /// second. Returns how many orders were looked after.
    pub async fn reconcile(&self) -> usize {
        let now = self.0.clock.now();
        self.0.reconcile(now).await
    }
}

impl Inner {
    /// Reconciles `every` so often until the engine is shut down or dropped. The first round also
    /// takes what an earlier process left a moment ago: nobody works on it any more.
    pub(super) fn watch(self: &Arc<Self>, every: Duration) {
        let engine = Arc::downgrade(self);
        let mut stopping = self.stopping.subscribe();
        let mut horizon_ms = MINUTE_MS;
        self.tasks.spawn(async move {
            loop {
                let Some(engine) = engine.upgrade() else { return };
                let now = engine.clock.now();
                engine.reconcile(now.plus(horizon_ms)).await;
                drop(engine);
                horizon_ms = 0;
                tokio::select! {
                    () = tokio::time::sleep(every) => {}
                    _ = stopping.wait_for(|it| *it) => return,
                }
            }
        });
    }

    async fn reconcile(self: &Arc<Self>, horizon: Millis) -> usize {
        let due = match self.store.due(horizon, ROUND_MAX).await {
            Ok(due) => due,
            Err(error) => {
                tracing::warn!(%error, "the store could not tell which orders are due");
                return 0;
            }
        };
        let mut tended = 0;
        let mut running = JoinSet::new();
        for no in due {
            if *self.stopping.borrow() {
                break;
            }
            let Some(lead) = self.flights.seize(&no) else { continue };
            if running.len() == AT_ONCE {
                running.join_next().await;
            }
            let engine = self.clone();
            running.spawn(async move { engine.tend(&lead, &no, horizon).await });
            tended += 1;
        }
        while running.join_next().await.is_some() {}
        tended
    }

    /// Ends what may still be paid of an order that is paid, or closed, and returns what it was
    /// paid too much, in the background.
    pub(super) fn end_others(self: &Arc<Self>, order: &Order) {
        let no = order.out_trade_no().clone();
        let is_over = order.open_trades().is_empty();
        let now = self.clock.now();
        let is_due = |it: &Payment| it.return_due().is_some_and(|due| due <= now);
        let owes = order.payments.iter().any(is_due);
        if order.status == OrderStatus::Open || (is_over && !owes) {
            return;
        }
        // Whoever works on it now leaves the rest to the next round.
        if let Some(lead) = self.flights.seize(&no) {
            let engine = self.clone();
            self.tasks.spawn(async move { engine.tend(&lead, &no, Millis(i64::MAX)).await });
        }
    }

    /// Looks after the order `no`, which nobody else works on.
    async fn tend(&self, lead: &Lead, no: &OutTradeNo, horizon: Millis) {
        let mut order = match self.store.load(no).await {
            Ok(Some(order)) => order,
            Ok(None) => return,
            Err(error) => return tracing::warn!(%error, "an order could not be read"),
        };
        lead.claimed(&order.fingerprint);
        let budget = self.budget();
        let due = order.trades(|it| order.due_of(it).is_some_and(|due| due <= horizon));
        for n in due {
            let told = self.look_after(order.clone(), n, budget).await;
            // What stays unknown is asked again later.
            let next = match told {
                Ok(next) => next,
                Err(_) => match self.said(order, n, Said::Nothing).await {
                    Ok(next) => next,
                    Err(_) => return,
                },
            };
            order = next;
        }
        self.tend_refunds(order, budget).await;
    }

    async fn look_after(&self, order: Order, n: u32, budget: Budget) -> Result<Order, Error> {
        if is_unsigned(&order, n) {
            return self.said(order, n, Said::Absent).await;
        }
        let (order, trade) = self.ask(order, n, budget).await?;
        let Some(attempt) = order.attempt(n) else { return Ok(order) };
        if !matches!(trade, Trade::Unpaid { .. }) {
            return Ok(order);
        }
        let now = self.clock.now();
        let is_wanted = order.latest().n == n && !attempt.superseded;
        if attempt.is_unknown() && is_wanted && attempt.expires.since(now) > MINUTE_MS {
            return self.send_again(order, n, budget).await;
        }
        if order.is_offered(attempt) && now < attempt.lapses() {
            return Ok(order);
        }
        self.close(order, n, budget).await
    }

    /// Sends attempt `n` again as it was, so that its material is there when its client asks.
    async fn send_again(&self, order: Order, n: u32, budget: Budget) -> Result<Order, Error> {
        let (provider, attempt) = self.provider_of(&order, n)?;
        let (product, expires) = (attempt.way.product, attempt.expires);
        let event = match provider.open(attempt, self.call(budget)?).await {
            Ok(material) => {
                let valid_until = valid_until(product, self.clock.now(), expires);
                Event::Answered { n, material, valid_until }
            }
            Err(Failure::Refused { code, .. } | Failure::Taken { code, .. }) => {
                Event::Taken { n, code }
            }
            Err(Failure::NotSent(_) | Failure::Unknown { .. }) => {
                return Err(Error::new(Kind::OutcomeUnknown));
            }
        };
        self.record(order, event).await
    }
}
