//! In-flight joins: at most one story at a time works on a number, the others watch it.

use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use dashmap::mapref::entry::{Entry, VacantEntry};
use tokio::sync::watch;

use super::create::Created;
use crate::domain::channel::PaymentMethod;
use crate::domain::ids::OutTradeNo;
use crate::domain::request::Fingerprint;
use crate::error::Error;

/// The most requests that wait for one number; a further one is told to come back.
const FOLLOWERS_MAX: usize = 10_000;

/// Every number that is being worked on.
#[derive(Debug, Default)]
pub(super) struct OrderLocks(DashMap<OutTradeNo, OrderLock>);

/// One number that is being worked on.
#[derive(Debug)]
struct OrderLock {
    /// The request that leads; none when the reconciler does.
    asked: Option<(PaymentMethod, Fingerprint)>,
    phase: watch::Sender<Phase>,
}

/// How far the work on a number is.
#[derive(Clone, Debug)]
pub(super) enum Phase {
    /// The number's owner is not known yet.
    Claiming,
    /// The number is an order's with this fingerprint: who differs need not wait.
    Claimed(Box<Fingerprint>),
    /// The work ended.
    Done(Box<Result<Created, Error>>),
}

/// What a request is to the work on its number.
pub(super) enum Join {
    /// It does the work and tells the others.
    OrderGuard(OrderGuard),
    /// It watches the same work, or another's.
    Follower(Box<Follower>),
    /// Too many watch already.
    Full,
}

/// The right to work on a number. Dropping it, in a panic too, ends the flight.
pub(super) struct OrderGuard {
    locks: Arc<OrderLocks>,
    out_trade_no: OutTradeNo,
    phase: watch::Sender<Phase>,
}

/// A view of somebody's work on a number.
pub(super) struct Follower {
    /// How the leader pays and what it buys; none when the reconciler leads.
    pub(super) asked: Option<(PaymentMethod, Fingerprint)>,
    /// How far it is; closed without [`Phase::Done`] when the work broke off.
    pub(super) phase: watch::Receiver<Phase>,
}

impl OrderLocks {
    /// Leads the work on `no`, or follows who does.
    pub(super) fn enter(
        self: &Arc<Self>,
        out_trade_no: &OutTradeNo,
        method: &PaymentMethod,
        fp: &Fingerprint,
    ) -> Join {
        match self.0.entry(out_trade_no.clone()) {
            Entry::Occupied(flight) => flight.get().follow(),
            Entry::Vacant(free) => {
                Join::OrderGuard(self.lead(out_trade_no, free, Some((method.clone(), fp.clone()))))
            }
        }
    }

    /// Leads the work on `no` without a request, unless somebody leads it.
    pub(super) fn try_lock(self: &Arc<Self>, out_trade_no: &OutTradeNo) -> Option<OrderGuard> {
        match self.0.entry(out_trade_no.clone()) {
            Entry::Occupied(_) => None,
            Entry::Vacant(free) => Some(self.lead(out_trade_no, free, None)),
        }
    }

    /// Leads the work on `no` without a request, as soon as nobody else does. `None` when somebody
    /// still does after `limit`.
    pub(super) async fn lock(
        self: &Arc<Self>,
        out_trade_no: &OutTradeNo,
        limit: Duration,
    ) -> Option<OrderGuard> {
        let turn = async {
            loop {
                if let Some(lead) = self.try_lock(out_trade_no) {
                    return lead;
                }
                let watched = self.0.get(out_trade_no).map(|flight| flight.phase.subscribe());
                if let Some(mut phase) = watched {
                    // It ends with its result, or by its leader's being dropped.
                    drop(phase.wait_for(|phase| matches!(phase, Phase::Done(_))).await);
                }
                // Whoever led is about to leave the map.
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(limit, turn).await.ok()
    }

    fn lead(
        self: &Arc<Self>,
        out_trade_no: &OutTradeNo,
        free: VacantEntry<'_, OutTradeNo, OrderLock>,
        asked: Option<(PaymentMethod, Fingerprint)>,
    ) -> OrderGuard {
        let phase = watch::Sender::new(Phase::Claiming);
        free.insert(OrderLock { asked, phase: phase.clone() });
        OrderGuard { locks: self.clone(), out_trade_no: out_trade_no.clone(), phase }
    }
}

impl OrderLock {
    fn follow(&self) -> Join {
        if self.phase.receiver_count() >= FOLLOWERS_MAX {
            return Join::Full;
        }
        Join::Follower(Box::new(Follower {
            asked: self.asked.clone(),
            phase: self.phase.subscribe(),
        }))
    }
}

impl OrderGuard {
    /// The leader's own view of its work, which may outlive its client.
    pub(super) fn watch(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Tells the followers whose number it is.
    pub(super) fn claimed(&self, fingerprint: &Fingerprint) {
        self.phase.send_replace(Phase::Claimed(Box::new(fingerprint.clone())));
    }

    /// Ends the flight with its result.
    pub(super) fn done(self, result: Result<Created, Error>) {
        self.locks.0.remove(&self.out_trade_no);
        self.phase.send_replace(Phase::Done(Box::new(result)));
    }
}

impl Drop for OrderGuard {
    fn drop(&mut self) {
        self.locks
            .0
            .remove_if(&self.out_trade_no, |_, flight| flight.phase.same_channel(&self.phase));
    }
}
