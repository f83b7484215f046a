//! One lock for each order in work: at most one task of this process works on an order at a time.
//!
//! A request joins the lock of its order: it becomes the leader, or a follower that watches the
//! progress which the leader publishes. Every other operation takes the lock without a request.
//! Taking it is asynchronous, so that a store which several processes share can add its own lock
//! here.

use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use dashmap::mapref::entry::{Entry, VacantEntry};
use tokio::sync::watch;

use crate::domain::ids::OutTradeNo;

/// The most requests that watch one order's lock.
const FOLLOWERS_MAX: usize = 10_000;

/// The locks of all orders in work. `R` describes the request that leads; `P` is the progress that
/// its followers watch.
#[derive(Debug)]
pub(super) struct OrderLocks<R, P>(DashMap<OutTradeNo, OrderLock<R, P>>);

#[derive(Debug)]
struct OrderLock<R, P> {
    /// The request that leads; [`None`] for an operation without one.
    request: Option<R>,
    progress: watch::Sender<P>,
}

/// What a request is to the lock of its order.
pub(super) enum Join<R, P> {
    /// It works on the order and publishes its progress.
    Leader(OrderGuard<R, P>),
    /// It watches the leader's progress.
    Follower(Box<Follower<R, P>>),
    /// Too many requests watch already.
    Full,
}

/// The lock of one order. Dropping it, in a panic too, releases the lock.
#[derive(Debug)]
pub(super) struct OrderGuard<R, P> {
    locks: Arc<OrderLocks<R, P>>,
    out_trade_no: OutTradeNo,
    progress: watch::Sender<P>,
}

/// A follower's view of the leader's work.
pub(super) struct Follower<R, P> {
    /// The leader's request; [`None`] when an operation without one has the lock.
    pub(super) request: Option<R>,
    /// The leader's progress; the channel closes when the leader releases the lock.
    pub(super) progress: watch::Receiver<P>,
}

impl<R, P> Default for OrderLocks<R, P> {
    fn default() -> OrderLocks<R, P> {
        OrderLocks(DashMap::new())
    }
}

impl<R: Clone, P: Default> OrderLocks<R, P> {
    /// Takes the order's lock for `request`, or joins the one that has it.
    pub(super) async fn join(
        self: &Arc<Self>,
        out_trade_no: &OutTradeNo,
        request: &R,
    ) -> Join<R, P> {
        match self.0.entry(out_trade_no.clone()) {
            Entry::Occupied(lock) => lock.get().follow(),
            Entry::Vacant(free) => Join::Leader(self.acquire(free, Some(request.clone()))),
        }
    }

    /// Takes the order's lock, unless somebody has it.
    pub(super) async fn try_lock(
        self: &Arc<Self>,
        out_trade_no: &OutTradeNo,
    ) -> Option<OrderGuard<R, P>> {
        match self.0.entry(out_trade_no.clone()) {
            Entry::Occupied(_) => None,
            Entry::Vacant(free) => Some(self.acquire(free, None)),
        }
    }

    /// Takes the order's lock as soon as nobody else has it. [`None`] when somebody still has it
    /// after `timeout`.
    pub(super) async fn lock(
        self: &Arc<Self>,
        out_trade_no: &OutTradeNo,
        timeout: Duration,
    ) -> Option<OrderGuard<R, P>> {
        let acquired = async {
            loop {
                if let Some(guard) = self.try_lock(out_trade_no).await {
                    return guard;
                }
                let held = self.0.get(out_trade_no).map(|lock| lock.progress.subscribe());
                if let Some(mut progress) = held {
                    while progress.changed().await.is_ok() {}
                }
                // The guard that was dropped is about to leave the map.
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(timeout, acquired).await.ok()
    }

    fn acquire(
        self: &Arc<Self>,
        free: VacantEntry<'_, OutTradeNo, OrderLock<R, P>>,
        request: Option<R>,
    ) -> OrderGuard<R, P> {
        let out_trade_no = free.key().clone();
        let progress = watch::Sender::new(P::default());
        free.insert(OrderLock { request, progress: progress.clone() });
        OrderGuard { locks: self.clone(), out_trade_no, progress }
    }
}

impl<R: Clone, P> OrderLock<R, P> {
    fn follow(&self) -> Join<R, P> {
        if self.progress.receiver_count() >= FOLLOWERS_MAX {
            return Join::Full;
        }
        let (request, progress) = (self.request.clone(), self.progress.subscribe());
        Join::Follower(Box::new(Follower { request, progress }))
    }
}

impl<R, P> OrderGuard<R, P> {
    /// The leader's own view of its progress, which may outlive its client.
    pub(super) fn watch(&self) -> watch::Receiver<P> {
        self.progress.subscribe()
    }

    /// Shows the followers how far the work is.
    pub(super) fn publish(&self, progress: P) {
        self.progress.send_replace(progress);
    }

    /// Releases the lock, then shows the followers how the work ended.
    pub(super) fn finish(self, progress: P) {
        self.locks.0.remove(&self.out_trade_no);
        self.progress.send_replace(progress);
    }
}

impl<R, P> Drop for OrderGuard<R, P> {
    fn drop(&mut self) {
        let is_ours = |lock: &OrderLock<R, P>| lock.progress.same_channel(&self.progress);
        self.locks.0.remove_if(&self.out_trade_no, |_, lock| is_ours(lock));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_guard_that_was_released_leaves_the_lock_to_whoever_took_it_since() {
        let locks: Arc<OrderLocks<(), ()>> = Arc::default();
        let number = OutTradeNo::parse("order-1").unwrap();
        let first = locks.try_lock(&number).await.unwrap();
        // As `finish` does, before it drops its guard.
        locks.0.remove(&number);
        let second = locks.try_lock(&number).await.unwrap();
        drop(first);
        assert!(locks.try_lock(&number).await.is_none(), "the second one has it");
        assert!(matches!(locks.join(&number, &()).await, Join::Follower(_)));
        drop(second);
        assert!(locks.try_lock(&number).await.is_some());
    }
}
