//! The operations in flight. The engine's shutdown waits for them, and refuses those that come
//! after the last one has ended: nothing works on an order once the store is closed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// The bit that closes the count.
const CLOSED: u64 = 1 << 63;

/// The count of the operations in flight.
#[derive(Clone, Debug, Default)]
pub(super) struct InFlightOperations(Arc<Count>);

#[derive(Debug, Default)]
struct Count {
    operations: AtomicU64,
    ended: Notify,
}

/// One operation in flight, while it lives.
#[derive(Debug)]
pub(crate) struct OperationGuard(InFlightOperations);

impl InFlightOperations {
    /// Counts an operation; none when the engine takes no more.
    pub(super) fn begin(&self) -> Option<OperationGuard> {
        let before = self.0.operations.fetch_add(1, Ordering::AcqRel);
        // Dropping the guard of a refused one takes it from the count again.
        let guard = OperationGuard(self.clone());
        (before & CLOSED == 0).then_some(guard)
    }

    /// Waits until none is in flight, those included that begin meanwhile, and closes the count.
    ///
    /// Cancel safe.
    pub(super) async fn end(&self) {
        loop {
            let ended = self.0.ended.notified();
            let (none, closed) = (0, CLOSED);
            let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
            match self.0.operations.compare_exchange(none, closed, success, failure) {
                Ok(_) => return,
                Err(now) if now & CLOSED != 0 => return,
                Err(_) => ended.await,
            }
        }
    }

    /// Closes the count at once; returns how many are in flight.
    pub(super) fn close(&self) -> u64 {
        self.0.operations.fetch_or(CLOSED, Ordering::AcqRel) & !CLOSED
    }
}

impl Drop for OperationGuard {
    fn drop(&mut self) {
        if self.0.0.operations.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.0.ended.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_that_is_closed_at_once_takes_no_more_and_has_those_in_flight() {
        let operations = InFlightOperations::default();
        let running = [operations.begin().unwrap(), operations.begin().unwrap()];
        assert_eq!(operations.close(), 2);
        assert!(operations.begin().is_none());
        drop(running);
        assert_eq!(operations.close(), 0);
    }
}
