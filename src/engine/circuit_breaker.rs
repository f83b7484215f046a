//! Circuit breakers: a provider that fails again and again is left alone for some seconds, so that
//! neither its queue nor our callers wait for calls that come to nothing.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dashmap::DashMap;
use tokio::time::Instant;

use crate::domain::order::attempt::Account;
use crate::provider::Failure;

/// So many failures in a row open a circuit.
const FAILURES_MAX: u32 = 5;

/// So long an open circuit refuses calls; then one call tries whether the provider is back.
const OPEN: Duration = Duration::from_secs(5);

/// So many orders a second the reconciler asks one account about, once that has failed, for a
/// minute; then twice as many every ten seconds, until it asks about all that is due.
const LOOKS_PER_S: u32 = 5;
const SLOW: Duration = Duration::from_secs(60);
const DOUBLES: Duration = Duration::from_secs(10);
const LOOKS_PER_S_MAX: u32 = 640;

/// What a call asks of a provider: each has a circuit of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Operation {
    Open,
    Query,
    Close,
    Refund,
    QueryRefund,
}

/// The circuits of every account and operation that was called.
#[derive(Debug, Default)]
pub(super) struct CircuitBreakers {
    breakers: DashMap<(Account, Operation), CircuitBreaker>,
    recovering: DashMap<Account, Recovery>,
}

#[derive(Debug, Default)]
struct CircuitBreaker {
    failures: u32,
    /// Until when calls are refused.
    open_until: Option<Instant>,
    /// Since when one call tries whether the provider is back.
    trying: Option<Instant>,
    /// What the provider said when it failed last.
    said: Option<(String, String)>,
}

/// How the reconciler goes back to an account that has failed.
#[derive(Debug)]
struct Recovery(Mutex<Pace>);

#[derive(Debug)]
struct Pace {
    began: Instant,
    second: Instant,
    looks: u32,
}

/// A call that may be made. Dropping it unanswered says nothing of the provider.
pub(super) struct Permit<'a> {
    breakers: &'a CircuitBreakers,
    key: (Account, Operation),
    since: Instant,
}

/// A call that is not made, and what the provider said when it failed last.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) said: Option<(String, String)>,
    pub(super) retry_after: Duration,
}

impl CircuitBreakers {
    /// Lets a call to `account` pass unless its circuit is open.
    ///
    /// # Errors
    ///
    /// [`Refused`] while the provider is left alone.
    pub(super) fn enter(
        &self,
        account: &Account,
        operation: Operation,
    ) -> Result<Permit<'_>, Refused> {
        let (key, now) = ((account.clone(), operation), Instant::now());
        if let Some(mut circuit) = self.breakers.get_mut(&key) {
            circuit.enter(now)?;
        }
        Ok(Permit { breakers: self, key, since: now })
    }

    /// Whether the reconciler may ask `account` about one more order now: as it likes, or a few a
    /// second after the account has failed.
    pub(super) fn may_look(&self, account: &Account) -> bool {
        let now = Instant::now();
        let held = self.recovering.get(account).map(|it| it.may_look(now));
        match held {
            None => true,
            Some(Some(may)) => may,
            Some(None) => {
                self.recovering.remove(account);
                true
            }
        }
    }

    fn failed(&self, key: &(Account, Operation), said: Option<(String, String)>) {
        let now = Instant::now();
        let mut circuit = self.breakers.entry(key.clone()).or_default();
        if circuit.fail(now, said) {
            let (account, operation) = key;
            tracing::warn!(%account, ?operation, "a provider fails again and again: it is left \
                alone for 5 s at a time, until a call succeeds");
            self.recovering.insert(account.clone(), Recovery::begin(now));
        }
    }
}

impl CircuitBreaker {
    fn enter(&mut self, now: Instant) -> Result<(), Refused> {
        let Some(until) = self.open_until else { return Ok(()) };
        // A call that tries and never ends makes room for another one.
        let is_tried = self.trying.is_some_and(|since| now < since + OPEN);
        if now >= until && !is_tried {
            self.trying = Some(now);
            return Ok(());
        }
        let retry_after = until.saturating_duration_since(now).max(Duration::from_secs(1));
        Err(Refused { said: self.said.clone(), retry_after })
    }

    /// Whether the circuit opened by this failure.
    fn fail(&mut self, now: Instant, said: Option<(String, String)>) -> bool {
        self.failures = self.failures.saturating_add(1);
        self.said = said;
        self.trying = None;
        if self.failures < FAILURES_MAX {
            return false;
        }
        self.open_until = Some(now + OPEN);
        true
    }
}

impl Recovery {
    fn begin(now: Instant) -> Recovery {
        Recovery(Mutex::new(Pace { began: now, second: now, looks: 0 }))
    }

    /// `None` when the account has recovered.
    fn may_look(&self, now: Instant) -> Option<bool> {
        let mut pace = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fast = now.saturating_duration_since(pace.began).saturating_sub(SLOW);
        let doublings = fast.as_secs().div_ceil(DOUBLES.as_secs()).min(31);
        let most = LOOKS_PER_S << doublings;
        if most >= LOOKS_PER_S_MAX {
            return None;
        }
        if now >= pace.second + Duration::from_secs(1) {
            (pace.second, pace.looks) = (now, 0);
        }
        let may = pace.looks < most;
        pace.looks = pace.looks.saturating_add(u32::from(may));
        Some(may)
    }
}

impl Permit<'_> {
    /// Takes into account what became of the call.
    pub(super) fn done<T>(self, result: &Result<T, Failure>) {
        match result {
            // A provider that answers is there, whatever its answer is.
            Ok(_) | Err(Failure::Refused { .. } | Failure::NumberInUse { .. }) => {
                self.breakers.breakers.remove_if(&self.key, |_, it| it.is_older(self.since));
            }
            Err(Failure::Throttled { code, message }) => {
                self.breakers.failed(&self.key, Some((code.clone(), message.clone())));
            }
            Err(Failure::OutcomeUnknown { provider_error, .. }) => {
                self.breakers.failed(&self.key, provider_error.clone());
            }
            // Of a refund it also says that the provider asks for it later.
            Err(Failure::NotSent(_))
                if matches!(self.key.1, Operation::Refund | Operation::QueryRefund) => {}
            Err(Failure::NotSent(_)) => self.breakers.failed(&self.key, None),
        }
    }
}

impl CircuitBreaker {
    /// Whether a call that began at `since` is news to it: what was sent before the circuit opened
    /// and is answered late does not close it.
    fn is_older(&self, since: Instant) -> bool {
        self.open_until.is_none_or(|until| since + OPEN >= until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::channel::ApiVersion;

    fn account() -> Account {
        let id = "1900000001".to_owned();
        Account { id, sub_mchid: None, api_version: ApiVersion::WxpayV3 }
    }

    fn call(breakers: &CircuitBreakers, result: &Result<(), Failure>) -> Result<(), Refused> {
        breakers.enter(&account(), Operation::Open)?.done(result);
        Ok(())
    }

    fn lost() -> Result<(), Failure> {
        let provider_error = Some(("SYSTEM_ERROR".to_owned(), "busy".to_owned()));
        Err(Failure::OutcomeUnknown { reason: "HTTP 500".to_owned(), provider_error })
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_that_fails_five_times_in_a_row_is_left_alone_and_tried_by_one_call() {
        let breakers = CircuitBreakers::default();
        for _ in 0..FAILURES_MAX {
            assert!(call(&breakers, &lost()).is_ok());
        }
        let refused = call(&breakers, &Ok(())).unwrap_err();
        assert_eq!(refused.said.unwrap().0, "SYSTEM_ERROR");
        assert!(breakers.enter(&account(), Operation::Query).is_ok(), "queries are not concerned");
        tokio::time::advance(OPEN).await;
        let trying = breakers.enter(&account(), Operation::Open).unwrap();
        assert!(call(&breakers, &Ok(())).is_err(), "one call tries at a time");
        trying.done(&lost());
        assert!(call(&breakers, &Ok(())).is_err());
        tokio::time::advance(OPEN).await;
        assert!(call(&breakers, &Ok(())).is_ok());
        for _ in 0..FAILURES_MAX - 1 {
            assert!(call(&breakers, &lost()).is_ok(), "success makes it forget");
        }
        let refusal = Failure::Refused { code: "PARAM_ERROR".to_owned(), message: String::new() };
        assert!(call(&breakers, &Err(refusal)).is_ok());
        assert!(call(&breakers, &lost()).is_ok(), "a refusal is an answer");
        assert!(call(&breakers, &Ok(())).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_tries_and_never_ends_makes_room_for_another() {
        let breakers = CircuitBreakers::default();
        for _ in 0..FAILURES_MAX {
            call(&breakers, &lost()).unwrap();
        }
        tokio::time::advance(OPEN).await;
        drop(breakers.enter(&account(), Operation::Open).unwrap());
        assert!(breakers.enter(&account(), Operation::Open).is_err());
        tokio::time::advance(OPEN).await;
        assert!(call(&breakers, &Ok(())).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn after_an_outage_the_reconciler_asks_a_few_orders_a_second() {
        let breakers = CircuitBreakers::default();
        let looks = |wanted: u32| (0..wanted).filter(|_| breakers.may_look(&account())).count();
        assert_eq!(looks(1_000), 1_000);
        for _ in 0..FAILURES_MAX {
            call(&breakers, &lost()).unwrap();
        }
        for _ in 0..60 {
            tokio::time::advance(Duration::from_secs(1)).await;
            assert_eq!(looks(1_000), 5);
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(looks(1_000), 10);
        tokio::time::advance(DOUBLES).await;
        assert_eq!(looks(1_000), 20);
        tokio::time::advance(SLOW).await;
        assert_eq!(looks(1_000), 1_000, "whatever is due, it recovers");
    }
}
