//! Whether a process runs: one that stands still gets nothing done, and may be woken.

use tokio::sync::watch;

/// The power of one process. Clones are of the same one.
#[derive(Clone, Debug)]
pub(super) struct CrashSwitch(watch::Sender<bool>);

impl CrashSwitch {
    pub(super) fn on() -> CrashSwitch {
        CrashSwitch(watch::Sender::new(true))
    }

    /// Everything it does stops at its next step; for good, if nobody wakes it.
    pub(super) fn stop(&self) {
        self.0.send_replace(false);
    }

    /// It goes on where it stopped, and knows nothing of the time between.
    pub(super) fn wake(&self) {
        self.0.send_replace(true);
    }

    /// Whether it runs.
    pub(super) fn is_on(&self) -> bool {
        *self.0.borrow()
    }

    /// Goes on when it runs.
    pub(super) async fn pass(&self) {
        self.reaches(true).await;
    }

    /// Ends when it stands still.
    pub(super) async fn stopped(&self) {
        self.reaches(false).await;
    }

    async fn reaches(&self, on: bool) {
        let reached = self.0.subscribe().wait_for(|it| *it == on).await.map(drop);
        reached.expect("the sender is ours");
    }
}
