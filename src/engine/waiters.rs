//! The requests that wait for an order to be paid, or for the shop to accept it. A change of the
//! order wakes them; none polls.

use std::sync::Arc;

use dashmap::DashMap;
use tokio::sync::watch;

use crate::domain::ids::OutTradeNo;

/// The most orders that requests wait for at once. A request for one more is answered at once.
const ORDERS_MAX: usize = 100_000;

/// The waiting requests of every order.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiters(Arc<DashMap<OutTradeNo, watch::Sender<()>>>);

/// One waiting request. The last one of an order removes it from the map.
#[derive(Debug)]
pub(super) struct Waiter {
    waiters: Waiters,
    out_trade_no: OutTradeNo,
    changes: Option<watch::Receiver<()>>,
}

impl Waiters {
    /// Waits for changes of the order from now on. [`None`] when too many orders are waited for.
    pub(super) fn wait(&self, out_trade_no: &OutTradeNo) -> Option<Waiter> {
        if self.0.len() >= ORDERS_MAX && !self.0.contains_key(out_trade_no) {
            return None;
        }
        let sender = self.0.entry(out_trade_no.clone()).or_insert_with(|| watch::Sender::new(()));
        let changes = Some(sender.subscribe());
        Some(Waiter { waiters: self.clone(), out_trade_no: out_trade_no.clone(), changes })
    }

    /// Wakes every request that waits for the order.
    pub(super) fn wake(&self, out_trade_no: &OutTradeNo) {
        if let Some(sender) = self.0.get(out_trade_no) {
            sender.send_replace(());
        }
    }
}

impl Waiter {
    /// Returns when the order changed.
    pub(super) async fn changed(&mut self) {
        if let Some(changes) = &mut self.changes {
            // The sender stays as long as one request waits.
            drop(changes.changed().await);
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.changes = None;
        let is_unused = |sender: &watch::Sender<()>| sender.receiver_count() == 0;
        self.waiters.0.remove_if(&self.out_trade_no, |_, sender| is_unused(sender));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(n: usize) -> OutTradeNo {
        OutTradeNo::parse(&format!("order-{n}")).expect("a number")
    }

    #[tokio::test]
    async fn a_waiter_is_woken_by_its_own_order_only() {
        let waiters = Waiters::default();
        let mut waiter = waiters.wait(&number(1)).expect("there is room");
        let no_time = std::time::Duration::ZERO;
        waiters.wake(&number(2));
        assert!(tokio::time::timeout(no_time, waiter.changed()).await.is_err());
        waiters.wake(&number(1));
        assert!(tokio::time::timeout(no_time, waiter.changed()).await.is_ok());
    }

    #[tokio::test]
    async fn the_last_waiter_of_an_order_leaves_nothing_behind() {
        let waiters = Waiters::default();
        let one = waiters.wait(&number(1)).expect("there is room");
        let mut other = waiters.wait(&number(1)).expect("there is room");
        drop(one);
        assert_eq!(waiters.0.len(), 1, "another one waits");
        waiters.wake(&number(1));
        other.changed().await;
        drop(other);
        assert!(waiters.0.is_empty());
    }

    #[test]
    fn so_many_orders_are_waited_for_and_no_more() {
        let waiters = Waiters::default();
        let waiting: Vec<_> = (0..ORDERS_MAX).map_while(|n| waiters.wait(&number(n))).collect();
        assert_eq!(waiting.len(), ORDERS_MAX);
        assert!(waiters.wait(&number(ORDERS_MAX)).is_none());
        assert!(waiters.wait(&number(0)).is_some(), "that order is waited for already");
    }
}
