//! Counts the notifications that no provider signed, so that a stranger does not fill the log.

use std::sync::{Mutex, PoisonError};

use crate::domain::time::{MINUTE_MS, Millis};

/// The rejected notifications since the last log line about them.
#[derive(Debug, Default)]
pub(super) struct RejectedNotifications(Mutex<Rejected>);

#[derive(Debug, Default)]
struct Rejected {
    logged_at: Option<Millis>,
    count: u64,
}

impl RejectedNotifications {
    /// Counts one more. Returns how many there are when they are to be logged: once a minute.
    pub(super) fn count(&self, now: Millis) -> Option<u64> {
        let mut rejected = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rejected.count = rejected.count.saturating_add(1);
        if rejected.logged_at.is_some_and(|at| (0..MINUTE_MS).contains(&now.since(at))) {
            return None;
        }
        rejected.logged_at = Some(now);
        Some(std::mem::take(&mut rejected.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgeries_are_logged_once_a_minute_with_their_number() {
        let rejected = RejectedNotifications::default();
        let count = |ms| rejected.count(Millis(ms));
        assert_eq!(count(0), Some(1), "the first one at once");
        assert_eq!((count(1), count(MINUTE_MS - 1)), (None, None));
        assert_eq!(count(MINUTE_MS), Some(3), "with those of the minute before");
        assert_eq!(count(MINUTE_MS + 1), None);
        assert_eq!(count(3 * MINUTE_MS), Some(2));
        assert_eq!(count(2 * MINUTE_MS), Some(1), "at once after the clock was set back");
    }
}
