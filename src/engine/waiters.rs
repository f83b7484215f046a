//! Who waits for an order to be paid, or for the shop to have accepted it: told, never polling.

use std::sync::Arc;

use dashmap::DashMap;
use tokio::sync::watch;

use crate::domain::ids::OutTradeNo;

/// The most orders that are waited for at once; beyond it nobody waits, and is answered at once.
const ORDERS_MAX: usize = 100_000;

/// Every order that is waited for.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiters(Arc<DashMap<OutTradeNo, watch::Sender<()>>>);

/// One who waits. Dropping it forgets an order that nobody else waits for.
#[derive(Debug)]
pub(super) struct Waiter {
    waiters: Waiters,
    out_trade_no: OutTradeNo,
    news: Option<watch::Receiver<()>>,
}

impl Waiters {
    /// Waits for news of `no` from now on. `None` when too many wait already.
    pub(super) fn wait(&self, out_trade_no: &OutTradeNo) -> Option<Waiter> {
        if self.0.len() >= ORDERS_MAX && !self.0.contains_key(out_trade_no) {
            return None;
        }
        let sender = self.0.entry(out_trade_no.clone()).or_insert_with(|| watch::Sender::new(()));
        let news = Some(sender.subscribe());
        Some(Waiter { waiters: self.clone(), out_trade_no: out_trade_no.clone(), news })
    }

    /// Tells everybody who waits for `no` to look again.
    pub(super) fn tell(&self, out_trade_no: &OutTradeNo) {
        if let Some(sender) = self.0.get(out_trade_no) {
            sender.send_replace(());
        }
    }
}

impl Waiter {
    /// Returns when there is news.
    pub(super) async fn news(&mut self) {
        if let Some(news) = &mut self.news {
            // The sender stays as long as somebody waits.
            drop(news.changed().await);
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.news = None;
        self.waiters.0.remove_if(&self.out_trade_no, |_, sender| sender.receiver_count() == 0);
    }
}
