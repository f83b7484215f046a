//! Tasks that run on after their client left; the engine awaits them at shutdown.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::Instrument as _;

use super::in_flight::InFlightOperations;

/// The tasks that run to their end, whether or not a client waits for them.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    running: Mutex<JoinSet<()>>,
    in_flight: InFlightOperations,
}

impl Tasks {
    /// Runs `work` to its end in a task of its own, unless the engine is shut down. Its log lines
    /// name what the caller's do.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let Some(operation) = self.in_flight.begin() else { return };
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        while running.try_join_next().is_some() {}
        let work = async move {
            work.await;
            drop(operation);
        };
        running.spawn(work.in_current_span());
    }

    /// What runs here, and the operations beside it.
    pub(super) fn in_flight(&self) -> &InFlightOperations {
        &self.in_flight
    }

    /// Waits until no operation is in flight, for at most `grace`, and lets none begin after that.
    /// Ends the tasks that are left then: nobody may send anything when the store is another
    /// process's. Returns how many operations were left.
    pub(super) async fn finish(&self, grace: Duration) -> u64 {
        let left = match timeout(grace, self.in_flight.end()).await {
            Ok(()) => 0,
            Err(_) => self.in_flight.close(),
        };
        let mut running =
            std::mem::take(&mut *self.running.lock().unwrap_or_else(PoisonError::into_inner));
        running.shutdown().await;
        left
    }
}
