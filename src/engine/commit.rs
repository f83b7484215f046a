//! The one place where the engine loads an order, applies a transition to it, commits the result,
//! and forgets what it answered before.
//!
//! An order changes under its lock: [`Commits::record`] takes the guard. What a provider reports is
//! a fact whoever has the lock, so that [`Commits::report`] takes a [`Report`] and no guard. When
//! another commit came first, the transition is applied anew to the order that is stored by then.

use std::sync::Arc;

use serde_json::Value;

use super::failures::{not_recorded, store_lost, store_unreachable};
use super::order_log;
use super::outbox::listeners::Outbox;
use super::outbox::payload::{Cause, outbox_event};
use super::progress::LockGuard;
use super::replay_cache::ReplayCache;
use super::superseded::SupersededOrders;
use super::waiters::Waiters;
use crate::clock::Clock;
use crate::domain::event::{Effect, OutboxEvent};
use crate::domain::ids::{OutTradeNo, TransactionId};
use crate::domain::order::attempt::Attempt;
use crate::domain::order::refund::{ExternalRefund, RefundUpdate};
use crate::domain::order::{Order, Receipt, TradeUpdate, Transition};
use crate::domain::time::Millis;
use crate::error::{Error, Kind};
use crate::store::{Committed, Store};

/// How often a transition is applied anew to an order that somebody else changed meanwhile. Each
/// time another commit has succeeded, so that all of them together make progress.
const COMMITS_MAX: usize = 20;

/// The engine's access to its orders.
pub(super) struct Commits {
    pub(super) store: Arc<dyn Store>,
    pub(super) replays: ReplayCache,
    pub(super) waiters: Waiters,
    pub(super) superseded: SupersededOrders,
    pub(super) outbox: Arc<Outbox>,
    pub(super) clock: Arc<dyn Clock>,
    /// Whether events say that the money is real.
    pub(super) livemode: bool,
}

/// Whether an attempt was added to an order.
pub(super) enum Added {
    /// The attempt was added.
    Done(Order),
    /// Somebody else changed the order first.
    OtherVersion(Order),
}

/// What a provider reports of an order.
#[derive(Clone)]
pub(super) struct Report(Transition);

impl Report {
    /// The provider's answer about the trade of attempt `n`.
    pub(super) fn trade(n: u32, at: Millis, update: TradeUpdate) -> Report {
        Report(Transition::TradeQueried { n, at, update })
    }

    /// A payment of a trade that no attempt of the order opened.
    pub(super) fn adopted(attempt: Attempt, at: Millis, receipt: Receipt) -> Report {
        Report(Transition::Adopted { attempt: Box::new(attempt), at, receipt })
    }

    /// The provider's answer about a payment that two messages disagree about.
    pub(super) fn corrected(n: u32, receipt: Receipt) -> Report {
        Report(Transition::Corrected { n, receipt })
    }

    /// The provider's answer about a refund.
    pub(super) fn refund(out_refund_no: String, at: Millis, update: RefundUpdate) -> Report {
        Report(Transition::RefundQueried { out_refund_no, at, update })
    }

    /// A refund that paygate did not send.
    pub(super) fn external_refund(
        transaction_id: TransactionId,
        refund: ExternalRefund,
        at: Millis,
    ) -> Report {
        Report(Transition::RefundedExternally { transaction_id, refund: Box::new(refund), at })
    }
}

impl Commits {
    /// The order with this number.
    ///
    /// # Errors
    ///
    /// [`Kind::NoSuchOrder`], or [`Kind::NotSent`] when the store failed.
    pub(super) async fn load(&self, out_trade_no: &OutTradeNo) -> Result<Order, Error> {
        self.find(out_trade_no).await?.ok_or_else(|| Error::new(Kind::NoSuchOrder))
    }

    /// The order with this number, if there is one.
    ///
    /// # Errors
    ///
    /// [`Kind::NotSent`] when the store failed.
    pub(super) async fn find(&self, out_trade_no: &OutTradeNo) -> Result<Option<Order>, Error> {
        let found = self.store.load(out_trade_no).await;
        let found = found.map_err(|error| store_unreachable(&error))?;
        Ok(found.map(|order| self.by_clock(order)))
    }

    /// A stored order, by this engine's clock.
    pub(super) fn by_clock(&self, order: Order) -> Order {
        order.by_clock(self.clock.now())
    }

    /// Adds an attempt that was planned for this version of the order. It never retries on another
    /// version.
    ///
    /// # Errors
    ///
    /// [`Kind::NotSent`] when the store failed; 5002 when another process opened it.
    pub(super) async fn add_attempt(
        &self,
        _guard: &LockGuard,
        order: &Order,
        attempt: Attempt,
    ) -> Result<Added, Error> {
        let transition = Transition::Opened(Box::new(attempt));
        let name = transition.name();
        let next = order.apply(transition).ok_or_else(|| Error::new(Kind::OutcomeUnknown))?;
        trace_commit(&next, name);
        let committed = self.store.commit(&next, &[]).await;
        match committed.map_err(|error| store_unreachable(&error))? {
            Committed::Done => {
                self.forget(&next);
                Ok(Added::Done(next))
            }
            Committed::OtherVersion(stored) => Ok(Added::OtherVersion(self.by_clock(*stored))),
            Committed::Lost => Err(store_lost(order)),
        }
    }

    /// Makes a transition of the locked order durable, with the events that the shop gets of it.
    /// The order that comes back is the stored one, which may hold more than the transition.
    ///
    /// # Errors
    ///
    /// 5002 when the store failed, or another process opened it: whatever the provider answered,
    /// what is not recorded is unknown.
    pub(super) async fn record(
        &self,
        _guard: &LockGuard,
        order: Order,
        transition: Transition,
    ) -> Result<Order, Error> {
        Box::pin(self.commit(order, |_| Some(transition.clone()))).await
    }

    /// Makes a provider's report durable, whoever has the order's lock.
    ///
    /// # Errors
    ///
    /// As [`Commits::record`].
    pub(super) async fn report(&self, order: Order, report: Report) -> Result<Order, Error> {
        Box::pin(self.commit(order, |_| Some(report.0.clone()))).await
    }

    /// Makes durable what a provider's report means to the order that is stored when it is
    /// committed; [`None`] leaves that order as it is.
    ///
    /// # Errors
    ///
    /// As [`Commits::record`].
    pub(super) async fn report_if(
        &self,
        order: Order,
        decide: impl Fn(&Order) -> Option<Report>,
    ) -> Result<Order, Error> {
        Box::pin(self.commit(order, |order| decide(order).map(|report| report.0))).await
    }

    async fn commit(
        &self,
        order: Order,
        decide: impl Fn(&Order) -> Option<Transition>,
    ) -> Result<Order, Error> {
        let mut order = order;
        for _ in 0..COMMITS_MAX {
            let Some(transition) = decide(&order) else { return Ok(order) };
            let Some(next) = order.apply(transition.clone()) else { return Ok(order) };
            let effects = next.effects_since(&order);
            let events = self.events(&next, &effects, &transition);
            trace_commit(&next, transition.name());
            let committed = self.store.commit(&next, &events).await;
            match committed.map_err(|error| not_recorded(&error))? {
                Committed::Done => {
                    order_log::changed(&next, &transition, &effects);
                    self.after_commit(&transition, &next, &events);
                    return Ok(next);
                }
                Committed::OtherVersion(stored) => order = self.by_clock(*stored),
                Committed::Lost => return Err(store_lost(&order)),
            }
        }
        Err(Error::new(Kind::OutcomeUnknown))
    }

    /// The events that follow from a transition.
    fn events(
        &self,
        after: &Order,
        effects: &[Effect],
        transition: &Transition,
    ) -> Vec<OutboxEvent> {
        let (at, message) = (self.clock.now(), message(transition));
        let cause = Cause { at, message, livemode: self.livemode };
        effects.iter().map(|effect| outbox_event(after, effect, cause)).collect()
    }

    /// Forgets the answers about an order whose attempt ended, or may have; wakes the requests
    /// that wait for it, and the outbox.
    fn after_commit(&self, transition: &Transition, order: &Order, events: &[OutboxEvent]) {
        match transition {
            Transition::CloseIntended { .. } => self.forget(order),
            Transition::Adopted { .. }
            | Transition::Corrected { .. }
            | Transition::Closed
            | Transition::TradeQueried {
                update: TradeUpdate::Closed | TradeUpdate::Paid(_), ..
            } => self.end(order),
            Transition::Offered { .. } => self.superseded.add(order.out_trade_no()),
            _ => {}
        }
        if !events.is_empty() {
            self.outbox.wake();
        }
    }

    /// Forgets the answers that were made of this version of the order, or of an earlier one.
    pub(super) fn forget(&self, order: &Order) {
        self.replays.forget(order.out_trade_no(), order.version, self.clock.now());
    }

    /// Forgets the answers about an order that ended, and wakes the requests that wait for it.
    pub(super) fn end(&self, order: &Order) {
        self.forget(order);
        self.waiters.wake(order.out_trade_no());
    }
}

/// For whoever follows an order step by step.
fn trace_commit(next: &Order, transition: &'static str) {
    let (out_trade_no, version) = (next.out_trade_no(), next.version);
    tracing::trace!(%out_trade_no, version, transition, "paygate commits a transition");
}

/// The provider's message that a transition came of.
fn message(transition: &Transition) -> Option<&Value> {
    match transition {
        Transition::TradeQueried { update: TradeUpdate::Paid(receipt), .. }
        | Transition::Adopted { receipt, .. }
        | Transition::Corrected { receipt, .. } => Some(&receipt.message),
        Transition::RefundQueried { update: RefundUpdate::Status(status), .. } => {
            Some(&status.message)
        }
        _ => None,
    }
}
