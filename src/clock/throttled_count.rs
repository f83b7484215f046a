//! Counts what a stranger can repeat at will, so that it does not fill the log.

use std::sync::{Mutex, PoisonError};

use crate::domain::time::{MINUTE_MS, Millis};

/// How often something happened since the last log line about it.
#[derive(Debug, Default)]
pub(crate) struct ThrottledCount(Mutex<SinceLogged>);

#[derive(Debug, Default)]
struct SinceLogged {
    logged_at: Option<Millis>,
    count: u64,
}

impl ThrottledCount {
    /// Counts one more. Returns how many there are when they are to be logged: once a minute.
    pub(crate) fn count(&self, now: Millis) -> Option<u64> {
        let mut since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        since.count = since.count.saturating_add(1);
        if since.logged_at.is_some_and(|at| (0..MINUTE_MS).contains(&now.since(at))) {
            return None;
        }
        since.logged_at = Some(now);
        Some(std::mem::take(&mut since.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_often_is_logged_once_a_minute_with_its_number() {
        let happened = ThrottledCount::default();
        let count = |ms| happened.count(Millis(ms));
        assert_eq!(count(0), Some(1), "the first one at once");
        assert_eq!((count(1), count(MINUTE_MS - 1)), (None, None));
        assert_eq!(count(MINUTE_MS), Some(3), "with those of the minute before");
        assert_eq!(count(MINUTE_MS + 1), None);
        assert_eq!(count(3 * MINUTE_MS), Some(2));
        assert_eq!(count(2 * MINUTE_MS), Some(1), "at once after the clock was set back");
    }
}
