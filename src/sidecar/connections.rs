//! The places of a listener's connections. When all are taken, the longest idle connection ends for
//! a new one.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

use super::activity::{Activity, Limits};
use super::limit_counters::{Limit, LimitCounters};

/// The connections of one listener.
#[derive(Clone, Debug)]
pub(super) struct Connections(Arc<Places>);

#[derive(Debug)]
struct Places {
    free: Arc<Semaphore>,
    taken: Mutex<HashMap<u64, Arc<Activity>>>,
    next: AtomicU64,
    warned: AtomicBool,
    /// The connection that waits was counted.
    counted: AtomicBool,
    counters: LimitCounters,
}

impl Connections {
    pub(super) fn new(limits: &Limits) -> Connections {
        Connections(Arc::new(Places {
            free: Arc::new(Semaphore::new(limits.connections)),
            taken: Mutex::default(),
            next: AtomicU64::new(0),
            warned: AtomicBool::new(false),
            counted: AtomicBool::new(false),
            counters: limits.counters.clone(),
        }))
    }

    /// A place: a free one, one that an idle connection leaves, or the first that becomes free.
    ///
    /// Cancel safe.
    pub(super) async fn place(&self) -> Place {
        if let Ok(permit) = Arc::clone(&self.0.free).try_acquire_owned() {
            return self.take(permit);
        }
        if !self.0.counted.swap(true, Ordering::Relaxed) {
            self.0.counters.count(Limit::Connections);
        }
        if !self.0.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "every connection that the limits allow is in use: a new one ends the longest \
                 idle one"
            );
        }
        loop {
            self.shed_longest_idle();
            let freed = Arc::clone(&self.0.free).acquire_owned();
            tokio::select! {
                permit = freed => {
                    return self.take(permit.expect("nothing closes the semaphore"));
                }
                () = sleep(SHED_AGAIN) => {}
            }
        }
    }

    pub(super) fn shed_longest_idle(&self) {
        let taken = self.0.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = taken.values().filter_map(|activity| Some((activity.idle_for()?, activity)));
        if let Some((_, longest)) = idle.max_by_key(|(idle, _)| *idle) {
            longest.shed();
        }
    }

    /// Warns once of a lack of descriptors or memory.
    pub(super) fn warn_of_shortage(&self, error: &io::Error) {
        self.0.counters.count(Limit::Descriptors);
        if !self.0.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, "the listener cannot accept a connection");
        }
    }

    fn take(&self, permit: OwnedSemaphorePermit) -> Place {
        self.0.counted.store(false, Ordering::Relaxed);
        let number = self.0.next.fetch_add(1, Ordering::Relaxed);
        let activity = Activity::new();
        let mut taken = self.0.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.insert(number, Arc::clone(&activity));
        Place { connections: self.clone(), number, activity, _permit: permit }
    }
}

/// How long a connection that becomes idle may keep its place while another waits.
const SHED_AGAIN: Duration = Duration::from_millis(50);

/// The place of one connection. Dropping it frees the place.
#[derive(Debug)]
pub(super) struct Place {
    connections: Connections,
    number: u64,
    activity: Arc<Activity>,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    pub(super) fn activity(&self) -> Arc<Activity> {
        Arc::clone(&self.activity)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.connections.0.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.remove(&self.number);
    }
}
