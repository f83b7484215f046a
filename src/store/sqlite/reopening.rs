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
                    // Woken early, it tries once more, and ends if the store was closed.
                    drop(self.closed.wait_timeout(next, PAUSE));
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

#[cfg(test)]
mod tests {
    use super::super::files::DatabaseFile;
    use super::super::lock::StoreLock;
    use super::*;
    use crate::store::Sqlite;

    struct TestStore {
        file: DatabaseFile,
        reopening: Arc<Reopening>,
        _home: tempfile::TempDir,
    }

    impl TestStore {
        fn open() -> TestStore {
            let home = tempfile::tempdir().unwrap();
            let path = home.path().join("paygate.db");
            let opening = Opening::new(&path, StoreMode::Live).unwrap();
            let reopening = Reopening::new(opening, StoreMode::Live);
            TestStore { file: DatabaseFile::find(&path).unwrap(), reopening, _home: home }
        }

        /// Lets the opening fail, and asks the store for something.
        fn fail(&self, kind: StoreErrorKind) {
            let error = self.record_failure(kind);
            assert_eq!(self.reopening.serving().err(), Some(error));
        }

        fn record_failure(&self, kind: StoreErrorKind) -> StoreError {
            let error = StoreError::new(kind, "the write failed");
            self.reopening.current().failed.set(error.clone()).unwrap();
            error
        }

        /// Lets the opening fail for a full disk while another process holds the store.
        fn fail_beside_another_process(&self) -> StoreLock {
            let error = self.record_failure(StoreErrorKind::Full);
            self.reopening.current().stop()();
            let lock = self.file.lock().unwrap();
            assert_eq!(self.reopening.serving().err(), Some(error));
            lock
        }

        fn next(&self) -> Next {
            *self.reopening.next()
        }
    }

    fn wait_until(what: &str, is_so: impl Fn() -> bool) {
        for _ in 0..1_500 {
            if is_so() {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("not within 15 s: {what}");
    }

    #[test]
    fn an_opening_that_is_dropped_has_let_go_of_the_store() {
        for _ in 0..5 {
            let home = tempfile::tempdir().unwrap();
            let path = home.path().join("paygate.db");
            drop(Opening::new(&path, StoreMode::Live).unwrap());
            assert!(DatabaseFile::find(&path).unwrap().lock().is_ok());
        }
    }

    #[test]
    fn a_store_whose_disk_was_full_is_opened_anew_each_time() {
        let store = TestStore::open();
        for _ in 0..2 {
            let failed = store.reopening.current();
            store.fail(StoreErrorKind::Full);
            wait_until("it serves again", || store.reopening.serving().is_ok());
            assert!(!Arc::ptr_eq(&failed, &store.reopening.current()));
            wait_until("the thread ended", || Arc::strong_count(&store.reopening) == 1);
            assert_eq!(store.next(), Next::OnDemand);
        }
    }

    #[test]
    fn a_store_that_failed_for_another_cause_is_not_opened_anew() {
        for kind in [StoreErrorKind::Io, StoreErrorKind::Corrupt] {
            let store = TestStore::open();
            store.fail(kind);
            assert_eq!(store.next(), Next::OnDemand, "no thread was started");
        }
    }

    #[test]
    fn a_store_that_another_process_holds_for_a_while_is_opened_after_it() {
        let store = TestStore::open();
        let lock = store.fail_beside_another_process();
        for _ in 0..20 {
            thread::sleep(Duration::from_millis(10));
            assert_eq!(store.next(), Next::Running, "it tries again");
            assert!(store.reopening.serving().is_err());
        }
        drop(lock);
        wait_until("it serves again", || store.reopening.serving().is_ok());
    }

    #[test]
    fn a_store_that_was_closed_meanwhile_stays_closed() {
        let store = TestStore::open();
        let lock = store.fail_beside_another_process();
        store.reopening.close()();
        drop(lock);
        wait_until("the thread ended", || Arc::strong_count(&store.reopening) == 1);
        assert_eq!(store.next(), Next::Never);
        assert!(store.reopening.serving().is_err());
    }

    #[test]
    fn a_store_that_was_dropped_meanwhile_is_not_opened_anew() {
        let home = tempfile::tempdir().unwrap();
        let file = DatabaseFile::find(&home.path().join("paygate.db")).unwrap();
        let dropped = Sqlite::open(file.database()).unwrap();
        let reopening = Arc::clone(&dropped.reopening);
        let store = TestStore { file, reopening, _home: home };
        let lock = store.fail_beside_another_process();
        drop(dropped);
        drop(lock);
        wait_until("the thread ended", || Arc::strong_count(&store.reopening) == 1);
        assert_eq!(store.next(), Next::Never);
    }

    #[test]
    fn a_store_whose_database_was_removed_meanwhile_stays_closed() {
        let store = TestStore::open();
        std::fs::remove_file(store.file.database()).unwrap();
        store.fail(StoreErrorKind::Full);
        wait_until("the thread ended", || Arc::strong_count(&store.reopening) == 1);
        assert_eq!(store.next(), Next::Never);
        assert!(!store.file.database().exists(), "none is made");
    }
}
