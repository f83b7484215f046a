//! A clock for tests in virtual time.

use tokio::time::Instant;

use crate::clock::{Clock, SystemClock};
use crate::domain::time::Millis;

/// Goes on with tokio's timers: in a test with `start_paused` hours pass at once, for engine and
/// providers alike.
///
/// ```
/// use std::time::Duration;
/// use paygate::Clock;
/// use paygate::mock::TimerClock;
///
/// # let mut runtime = tokio::runtime::Builder::new_current_thread();
/// # runtime.enable_time().start_paused(true).build().unwrap().block_on(async {
/// let clock = TimerClock::start();
/// let before = clock.now();
/// tokio::time::sleep(Duration::from_secs(3600)).await;
/// assert_eq!(clock.now(), before.plus(3_600_000));
/// # });
/// ```
#[derive(Clone, Copy, Debug)]
pub struct TimerClock {
    started: Instant,
    time: Millis,
}

impl TimerClock {
    /// A clock that starts now, at the operating system's time.
    #[must_use]
    pub fn start() -> TimerClock {
        TimerClock { started: Instant::now(), time: SystemClock.now() }
    }
}

impl Clock for TimerClock {
    fn now(&self) -> Millis {
        self.time.plus(i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX))
    }
}
