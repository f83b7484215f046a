//! The time of day, which only this file reads.

pub(crate) mod throttled_count;

use std::fmt::Debug;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::domain::time::Millis;

/// Gives the time of day. A test has its own clock.
pub trait Clock: Send + Sync + Debug {
    /// The current time.
    fn now(&self) -> Millis;
}

/// The operating system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    fn now(&self) -> Millis {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Millis(i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX))
    }
}
