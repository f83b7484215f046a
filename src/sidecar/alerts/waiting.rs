//! The alerts that wait, shared by what logs and the task that sends.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::pending::{Alert, AlertLine, PendingAlerts};
use crate::clock::{Clock as _, SystemClock};
use crate::sidecar::telemetry::fields::LogFields;

/// The alerts on their way to the task that sends them.
#[derive(Debug, Default)]
pub(super) struct WaitingAlerts {
    pending: Mutex<PendingAlerts>,
    added: Notify,
}

impl WaitingAlerts {
    /// Adds a line of the log.
    pub(super) fn add(&self, text: String, fields: LogFields) {
        let line = AlertLine { at: SystemClock.now(), fields };
        self.pending().add(text, line, Instant::now());
        self.added.notify_one();
    }

    pub(super) fn pending(&self) -> MutexGuard<'_, PendingAlerts> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next alert, once it is due.
    pub(super) async fn next(&self) -> Alert {
        loop {
            let (due, next_at) = {
                let mut pending = self.pending();
                let now = Instant::now();
                (pending.take_due(now), pending.next_at(now))
            };
            match (due, next_at) {
                (Some(alert), _) => return alert,
                (None, None) => self.added.notified().await,
                (None, Some(at)) => tokio::select! {
                    () = self.added.notified() => {}
                    () = sleep_until(at) => {}
                },
            }
        }
    }
}
