//! Logs the certificates that need a successor now: at the start, and once a day from then on, so
//! that a process that runs for a year alerts in time.

use std::time::Duration;

use tokio::time::sleep;

use crate::clock::{Clock as _, SystemClock};
use crate::config::Config;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Goes on until it is dropped.
pub(super) async fn watch_certificates(config: Config) {
    watch(|| config.urgent_warnings(SystemClock.now())).await;
}

async fn watch(warnings: impl Fn() -> Vec<String>) {
    loop {
        for warning in warnings() {
            tracing::error!(warning, "a certificate needs a successor");
        }
        sleep(DAY).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::time::{Instant, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn certificates_are_judged_at_the_start_and_once_a_day() {
        let (started, judged) = (Instant::now(), Cell::new(Vec::new()));
        let warnings = || {
            let mut hours = judged.take();
            hours.push(started.elapsed().as_secs() / 3600);
            judged.set(hours);
            Vec::new()
        };
        assert!(timeout(3 * DAY - Duration::from_secs(1), watch(warnings)).await.is_err());
        assert_eq!(judged.take(), [0, 24, 48]);
    }
}
