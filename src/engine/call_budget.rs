//! The time that all provider calls of one request share.

use std::time::Duration;

use tokio::time::Instant;

use super::Inner;
use crate::error::{Error, Kind};
use crate::provider::Call;

/// What is left of the time for provider calls.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    ends: Instant,
}

impl Inner {
    /// The whole time, from now on.
    pub(super) fn budget(&self) -> Budget {
        Budget { ends: Instant::now() + self.settings.call_budget }
    }

    /// The next call.
    ///
    /// # Errors
    ///
    /// 4103 when the time is spent: nothing of this call was sent.
    pub(super) fn call(&self, budget: Budget) -> Result<Call<'_>, Error> {
        let left = budget.ends.saturating_duration_since(Instant::now());
        if left < SHORTEST {
            return Err(Error::new(Kind::Busy));
        }
        let timeout = self.settings.call_timeout.min(left);
        Ok(Call { transport: self.transport.as_ref(), clock: self.clock.as_ref(), timeout })
    }
}

/// A call that has less time than this would only make its outcome unknown.
const SHORTEST: Duration = Duration::from_millis(100);
