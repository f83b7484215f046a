//! Opens a store anew, by itself, after its disk had no room.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread;
use std::time::Duration;

use super::opening::Opening;
use crate::store::{StoreError, StoreErrorKind, StoreMode};

/// How long paygate waits before it tries again to open a store whose disk had no room.
const PAUSE: Duration = Duration::from_secs(2);

/// The opening of a store that serves, and after a failure the next one.
#[derive(Debug)]
pub(super) struct Reopening {
    mode: StoreMode,
    opening: RwLock<Arc<Opening>>,
    next: Mutex<Next>,
    closed: Condvar,
}

/// Whether a failed store is opened anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// When somebody asks for it.
    OnDemand,
    /// A thread tries.
    Running,
    /// It stays closed.
    Never,
}

impl Reopening {
    /// From the first opening.
    pub(super) fn new(opening: Opening, mode: StoreMode) -> Arc<Reopening> {
        let (opening, next) = (RwLock::new(Arc::new(opening)), Mutex::new(Next::OnDemand));
        Arc::new(Reopening { mode, opening, next, closed: Condvar::new() })
    }

    /// The last opening, whether or not it serves.
    pub(super) fn current(&self) -> Arc<Opening> {
        self.opening.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The opening that serves. One that failed is opened anew where that may help.
    ///
    /// # Errors
    ///
    /// Why it failed.
    pub(super) fn serving(self: &Arc<Self>) -> Result<Arc<Opening>, StoreError> {
        let opening = self.current();
        let Some(failure) = opening.failed.get() else { return Ok(opening) };
        if failure.kind == StoreErrorKind::Full {
            self.begin();
        }
        Err(failure.clone())
    }

    /// Returns a function that closes the store for good.
    pub(super) fn close(&self) -> impl FnOnce() + Send + use<> {
        *self.next() = Next::Never;
        self.closed.notify_all();
        self.current().stop()
    }

    /// Starts the thread that tries, unless it runs.
    fn begin(self: &Arc<Self>) {
        let mut next = self.next();
        if *next != Next::OnDemand {
            return;
        }
        let reopening = Arc::clone(self);
        let thread = thread::Builder::new().name("paygate-reopen".to_owned());
        if thread.spawn(move || reopening.run()).is_ok() {
            *next = Next::Running;
        }
    }

    fn run(&self) {
        let failed = self.current();
        failed.stop()();
        loop {
            let opened = failed.anew(self.mode);
            let mut next = self.next();
            if *next == Next::Never {
                return;
            }
            match opened {
                Ok(opening) => {
                    let opening = Arc::new(opening);
                    *self.opening.write().unwrap_or_else(PoisonError::into_inner) = opening;
                    *next = Next::OnDemand;
                    tracing::warn!("the disk has room again: paygate opened the store anew");
                    return;
                }
                Err(error) if is_passing(&error) => {
                    let is_open = |next: &mut Next| *next != Next::Never;
                    drop(self.closed.wait_timeout_while(next, PAUSE, is_open));
                }
                Err(error) => {
                    *next = Next::Never;
                    tracing::error!(%error, "the store stays closed: restart paygate");
                    return;
                }
            }
        }
    }

    fn next(&self) -> MutexGuard<'_, Next> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a store that cannot be opened now may be opened later: nothing is wrong with it.
fn is_passing(error: &StoreError) -> bool {
    matches!(error.kind, StoreErrorKind::Unavailable | StoreErrorKind::Full)
}
