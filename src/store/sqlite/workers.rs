//! Threads that serve one queue, and end when it is closed and empty.

use std::fmt;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use crate::store::StoreError;

/// The way to some threads that hold SQLite connections.
pub(super) struct Workers<T> {
    queue: Arc<Mutex<Option<Sender<T>>>>,
    threads: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl<T: Send + 'static> Workers<T> {
    /// A queue, and the end of it that [`Workers::start`]'s threads read.
    pub(super) fn new() -> (Workers<T>, Receiver<T>) {
        let (sender, receiver) = mpsc::channel();
        let queue = Arc::new(Mutex::new(Some(sender)));
        let workers = Workers { queue, threads: Arc::default() };
        (workers, receiver)
    }

    /// Starts one thread.
    pub(super) fn start(
        &self,
        name: &str,
        run: impl FnOnce() + Send + 'static,
    ) -> std::io::Result<()> {
        let thread = thread::Builder::new().name(name.to_owned()).spawn(run)?;
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        Ok(())
    }

    /// Hands `work` over.
    pub(super) fn send(&self, work: T) -> Result<(), StoreError> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = queue.as_ref().ok_or_else(StoreError::closed)?;
        sender.send(work).map_err(|_| StoreError::closed())
    }

    /// Returns a function that ends the queue, and waits until what was handed over is done.
    pub(super) fn stop(&self) -> impl FnOnce() + Send + use<T> {
        let (queue, threads) = (Arc::clone(&self.queue), Arc::clone(&self.threads));
        move || {
            drop(queue.lock().unwrap_or_else(PoisonError::into_inner).take());
            // Held while joining, so that a second caller waits as well.
            let mut threads = threads.lock().unwrap_or_else(PoisonError::into_inner);
            for thread in threads.drain(..) {
                // The panic hook reported the panic of a thread; nothing is left to do.
                drop(thread.join());
            }
        }
    }
}

impl<T> fmt::Debug for Workers<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers").finish_non_exhaustive()
    }
}
