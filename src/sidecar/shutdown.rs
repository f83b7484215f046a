//! Announces to every part of the sidecar that the program shuts down.

use tokio::sync::watch;

/// Begins the shutdown.
#[derive(Debug)]
pub struct ShutdownTrigger(watch::Sender<bool>);

/// Observes the shutdown.
#[derive(Clone, Debug)]
pub struct ShutdownWatch(watch::Receiver<bool>);

/// A trigger and its watch, which can be cloned.
#[must_use]
pub fn shutdown_channel() -> (ShutdownTrigger, ShutdownWatch) {
    let (sender, receiver) = watch::channel(false);
    (ShutdownTrigger(sender), ShutdownWatch(receiver))
}

impl ShutdownTrigger {
    /// Begins the shutdown for every [`ShutdownWatch`], later clones included.
    pub fn begin_shutdown(&self) {
        self.0.send_replace(true);
    }
}

impl ShutdownWatch {
    /// Whether the shutdown has begun.
    #[must_use]
    pub fn is_set(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until the shutdown begins. Dropping the [`ShutdownTrigger`] begins it, too.
    pub async fn wait(&mut self) {
        let _ = self.0.wait_for(|has_begun| *has_begun).await;
    }
}
