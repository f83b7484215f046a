//! Whether a process runs: one that stands still gets nothing done, and may be woken.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// The power of one process. Clones are of the same one.
///
/// Whoever waits for it is woken in the order of waiting: a number is a world.
#[derive(Clone, Debug)]
pub(super) struct CrashSwitch(Arc<(AtomicBool, Notify)>);

impl CrashSwitch {
    pub(super) fn on() -> CrashSwitch {
        CrashSwitch(Arc::new((AtomicBool::new(true), Notify::new())))
    }

    /// Everything it does stops at its next step; for good, if nobody wakes it.
    pub(super) fn stop(&self) {
        self.turn(false);
    }

    /// It goes on where it stopped, and knows nothing of the time between.
    pub(super) fn wake(&self) {
        self.turn(true);
    }

    /// Whether it runs.
    pub(super) fn is_on(&self) -> bool {
        self.0.0.load(Ordering::Relaxed)
    }

    /// Goes on when it runs.
    pub(super) async fn pass(&self) {
        self.reaches(true).await;
    }

    /// Ends when it stands still.
    pub(super) async fn stopped(&self) {
        self.reaches(false).await;
    }

    fn turn(&self, on: bool) {
        self.0.0.store(on, Ordering::Relaxed);
        self.0.1.notify_waiters();
    }

    async fn reaches(&self, on: bool) {
        loop {
            let turned = self.0.1.notified();
            if self.is_on() == on {
                return;
            }
            turned.await;
        }
    }
}
