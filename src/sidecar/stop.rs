//! Telling everything that the program stops.

use tokio::sync::watch;

/// Says once that the program stops.
#[derive(Debug)]
pub struct Stop(watch::Sender<bool>);

/// Hears of it.
#[derive(Clone, Debug)]
pub struct Stopping(watch::Receiver<bool>);

/// The two ends.
#[must_use]
pub fn stop() -> (Stop, Stopping) {
    let (sender, receiver) = watch::channel(false);
    (Stop(sender), Stopping(receiver))
}

impl Stop {
    /// Tells every [`Stopping`], those that ask later too.
    pub fn now(&self) {
        self.0.send_replace(true);
    }
}

impl Stopping {
    /// Whether it was said.
    #[must_use]
    pub fn is_set(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is said. A [`Stop`] that is gone counts as said: nobody is left to say it.
    pub async fn wait(&mut self) {
        let _ = self.0.wait_for(|said| *said).await;
    }
}
