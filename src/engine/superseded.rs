//! The orders whose buyers returned to an earlier attempt: the attempt that they left can still be
//! paid until the background closes it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::domain::channel::ProviderId;
use crate::domain::ids::OutTradeNo;

/// The orders whose superseded attempts are to be closed soon: a queue for each provider that
/// closes an attempt before its trade exists.
#[derive(Debug)]
pub(super) struct SupersededOrders {
    queues: BTreeMap<ProviderId, SupersededQueue>,
}

#[derive(Debug, Default)]
struct SupersededQueue {
    numbers: Mutex<Vec<OutTradeNo>>,
    added: Notify,
}

impl Default for SupersededOrders {
    fn default() -> SupersededOrders {
        let closing = ProviderId::ALL.into_iter().filter(|provider| provider.closes_before_trade());
        let queues = closing.map(|provider| (provider, SupersededQueue::default()));
        SupersededOrders { queues: queues.collect() }
    }
}

impl SupersededOrders {
    /// The most orders of a queue; the reconciler finds the others when they are due.
    const MAX: usize = 1024;

    pub(super) fn add(&self, out_trade_no: &OutTradeNo) {
        for queue in self.queues.values() {
            let mut numbers = queue.numbers.lock().unwrap_or_else(PoisonError::into_inner);
            if numbers.len() < SupersededOrders::MAX {
                numbers.push(out_trade_no.clone());
                queue.added.notify_one();
            }
        }
    }

    /// Takes every order of the provider's queue.
    pub(super) fn take(&self, provider: ProviderId) -> Vec<OutTradeNo> {
        let Some(queue) = self.queues.get(&provider) else { return Vec::new() };
        std::mem::take(&mut *queue.numbers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns when an order was added for the provider: never, if it has no queue.
    pub(super) async fn added(&self, provider: ProviderId) {
        match self.queues.get(&provider) {
            Some(queue) => queue.added.notified().await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_holds_1024_orders_and_is_taken_once() {
        let superseded = SupersededOrders::default();
        let number = |n: usize| OutTradeNo::parse(&format!("order-{n:04}")).expect("a number");
        for n in 0..=SupersededOrders::MAX {
            superseded.add(&number(n));
        }
        let first: Vec<_> = (0..SupersededOrders::MAX).map(number).collect();
        assert_eq!(superseded.take(ProviderId::Wxpay), first);
        assert_eq!(superseded.take(ProviderId::Wxpay), []);
        let alipay = superseded.take(ProviderId::Alipay);
        assert_eq!(alipay, [], "Alipay closes no attempt whose trade does not exist");
    }
}
