//! The orders whose buyers returned to an earlier attempt: the attempt that they left can still be
//! paid until the background closes it.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::domain::ids::OutTradeNo;

/// The orders whose superseded attempts are to be closed soon.
#[derive(Debug, Default)]
pub(super) struct SupersededOrders {
    numbers: Mutex<Vec<OutTradeNo>>,
    added: Notify,
}

impl SupersededOrders {
    /// The most orders that are kept; the reconciler finds the others when they are due.
    const MAX: usize = 1024;

    pub(super) fn add(&self, out_trade_no: &OutTradeNo) {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        if numbers.len() < SupersededOrders::MAX {
            numbers.push(out_trade_no.clone());
            self.added.notify_one();
        }
    }

    pub(super) fn take(&self) -> Vec<OutTradeNo> {
        std::mem::take(&mut *self.numbers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns when an order was added.
    pub(super) async fn added(&self) {
        self.added.notified().await;
    }
}
