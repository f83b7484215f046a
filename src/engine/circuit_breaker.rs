//! Circuit breakers: after several failures in a row, paygate stops calling a provider for some
//! seconds, so that neither the provider's queue nor the callers wait for calls that fail.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dashmap::DashMap;
use tokio::time::Instant;

use crate::domain::order::attempt::Account;
use crate::provider::Failure;

/// The failures in a row that open a circuit.
const FAILURES_MAX: u32 = 5;

/// How long an open circuit refuses calls; then one call tries whether the provider answers.
const OPEN_TIME: Duration = Duration::from_secs(5);

/// How many orders of one account the reconciler queries a second, for a minute after the account
/// failed; then twice as many every ten seconds, until it queries every order that is due.
const QUERIES_PER_S: u32 = 5;
const SLOW_TIME: Duration = Duration::from_secs(60);
const DOUBLING_TIME: Duration = Duration::from_secs(10);
const QUERIES_PER_S_MAX: u32 = 640;

/// The operation of a provider call: each has a circuit of its own.
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
    /// Since when one call tries whether the provider answers.
    trying: Option<Instant>,
    /// The provider's code and message in its last failure, if it gave some.
    provider_error: Option<(String, String)>,
}

/// The reconciler's limited rate of queries to an account that has failed.
#[derive(Debug)]
struct Recovery(Mutex<QueryRate>);

#[derive(Debug)]
struct QueryRate {
    began: Instant,
    second: Instant,
    /// The queries since `second`.
    queries: u32,
}

/// The permission to make one call. A permit that is dropped without a result counts neither as a
/// failure nor as a success.
pub(super) struct Permit<'a> {
    breakers: &'a CircuitBreakers,
    key: (Account, Operation),
    since: Instant,
}

/// A call that the open circuit refused, with the provider's code and message in its last failure.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) provider_error: Option<(String, String)>,
    pub(super) retry_after: Duration,
}

impl CircuitBreakers {
    /// Lets a call to `account` pass unless its circuit is open.
    ///
    /// # Errors
    ///
    /// [`Refused`] while the circuit is open.
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

    /// Whether the reconciler may query `account` about one more order now: always, or only a few
    /// times a second after the account has failed.
    pub(super) fn may_query(&self, account: &Account) -> bool {
        let now = Instant::now();
        let limited = self.recovering.get(account).map(|recovery| recovery.may_query(now));
        match limited {
            None => true,
            Some(Some(may)) => may,
            Some(None) => {
                self.recovering.remove(account);
                true
            }
        }
    }

    fn failed(&self, key: &(Account, Operation), provider_error: Option<(String, String)>) {
        let now = Instant::now();
        let mut circuit = self.breakers.entry(key.clone()).or_default();
        if circuit.fail(now, provider_error) {
            let (account, call) = key;
            tracing::warn!(%account, ?call, "a provider failed 5 times in a row: paygate stops \
                calling it for 5 s at a time, until a call succeeds");
            self.recovering.insert(account.clone(), Recovery::begin(now));
        }
    }
}

impl CircuitBreaker {
    fn enter(&mut self, now: Instant) -> Result<(), Refused> {
        let Some(until) = self.open_until else { return Ok(()) };
        // A call that tries and never ends makes room for another one.
        let is_tried = self.trying.is_some_and(|since| now < since + OPEN_TIME);
        if now >= until && !is_tried {
            self.trying = Some(now);
            return Ok(());
        }
        let retry_after = until.saturating_duration_since(now).max(Duration::from_secs(1));
        Err(Refused { provider_error: self.provider_error.clone(), retry_after })
    }

    /// Counts a failure; whether it opened the circuit.
    fn fail(&mut self, now: Instant, provider_error: Option<(String, String)>) -> bool {
        self.failures = self.failures.saturating_add(1);
        self.provider_error = provider_error;
        self.trying = None;
        if self.failures < FAILURES_MAX {
            return false;
        }
        self.open_until = Some(now + OPEN_TIME);
        true
    }
}

impl Recovery {
    fn begin(now: Instant) -> Recovery {
        Recovery(Mutex::new(QueryRate { began: now, second: now, queries: 0 }))
    }

    /// Whether the rate allows one more query; `None` when the account has recovered.
    fn may_query(&self, now: Instant) -> Option<bool> {
        let mut rate = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fast = now.saturating_duration_since(rate.began).saturating_sub(SLOW_TIME);
        let doublings = fast.as_secs().div_ceil(DOUBLING_TIME.as_secs()).min(31);
        let most = QUERIES_PER_S << doublings;
        if most >= QUERIES_PER_S_MAX {
            return None;
        }
        if now >= rate.second + Duration::from_secs(1) {
            (rate.second, rate.queries) = (now, 0);
        }
        let may = rate.queries < most;
        rate.queries = rate.queries.saturating_add(u32::from(may));
        Some(may)
    }
}

impl Permit<'_> {
    /// Counts the call's result.
    pub(super) fn done<T>(self, result: &Result<T, Failure>) {
        match result {
            // A provider that answers is reachable, whatever its answer is.
            Ok(_) | Err(Failure::Refused { .. } | Failure::NumberInUse { .. }) => {
                self.breakers
                    .breakers
                    .remove_if(&self.key, |_, breaker| breaker.is_older(self.since));
            }
            Err(Failure::Throttled { code, message }) => {
                self.breakers.failed(&self.key, Some((code.clone(), message.clone())));
            }
            Err(
                Failure::OutcomeUnknown { provider_error, .. }
                | Failure::Unverifiable { provider_error, .. },
            ) => {
                self.breakers.failed(&self.key, provider_error.clone());
            }
            // For a refund it also means that the provider wants the request again, later.
            Err(Failure::NotSent(_))
                if matches!(self.key.1, Operation::Refund | Operation::QueryRefund) => {}
            Err(Failure::NotSent(_)) => self.breakers.failed(&self.key, None),
        }
    }
}

impl CircuitBreaker {
    /// Whether a call that began at `since` may close the circuit: a late answer to a call that
    /// began before the circuit opened does not.
    fn is_older(&self, since: Instant) -> bool {
        self.open_until.is_none_or(|until| since + OPEN_TIME >= until)
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
    async fn five_failures_in_a_row_open_the_circuit_and_one_call_tries_the_provider() {
        let breakers = CircuitBreakers::default();
        for _ in 0..FAILURES_MAX {
            assert!(call(&breakers, &lost()).is_ok());
        }
        let refused = call(&breakers, &Ok(())).unwrap_err();
        assert_eq!(refused.provider_error.unwrap().0, "SYSTEM_ERROR");
        assert!(breakers.enter(&account(), Operation::Query).is_ok(), "queries are not concerned");
        tokio::time::advance(OPEN_TIME).await;
        let trying = breakers.enter(&account(), Operation::Open).unwrap();
        assert!(call(&breakers, &Ok(())).is_err(), "one call tries at a time");
        trying.done(&lost());
        assert!(call(&breakers, &Ok(())).is_err());
        tokio::time::advance(OPEN_TIME).await;
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
        tokio::time::advance(OPEN_TIME).await;
        drop(breakers.enter(&account(), Operation::Open).unwrap());
        assert!(breakers.enter(&account(), Operation::Open).is_err());
        tokio::time::advance(OPEN_TIME).await;
        assert!(call(&breakers, &Ok(())).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn the_late_answer_to_a_call_from_before_the_outage_does_not_end_it() {
        let breakers = CircuitBreakers::default();
        let late = breakers.enter(&account(), Operation::Open).unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
        for _ in 0..FAILURES_MAX {
            call(&breakers, &lost()).unwrap();
        }
        late.done(&Ok(()));
        assert!(call(&breakers, &Ok(())).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_refund_that_its_provider_wants_later_is_no_failure_and_a_call_not_sent_is_one() {
        use Operation::{Close, Open, Query, QueryRefund, Refund};
        let later = || Err::<(), _>(Failure::NotSent("later".to_owned()));
        for (operation, opens) in
            [(Refund, false), (QueryRefund, false), (Open, true), (Query, true), (Close, true)]
        {
            let breakers = CircuitBreakers::default();
            for _ in 0..FAILURES_MAX {
                breakers.enter(&account(), operation).unwrap().done(&later());
            }
            let is_open = breakers.enter(&account(), operation).is_err();
            assert_eq!(is_open, opens, "{operation:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn after_an_outage_the_reconciler_queries_a_few_orders_a_second() {
        let breakers = CircuitBreakers::default();
        let queries = |wanted: u32| (0..wanted).filter(|_| breakers.may_query(&account())).count();
        assert_eq!(queries(1_000), 1_000);
        for _ in 0..FAILURES_MAX {
            call(&breakers, &lost()).unwrap();
        }
        for _ in 0..60 {
            tokio::time::advance(Duration::from_secs(1)).await;
            assert_eq!(queries(1_000), 5);
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(queries(1_000), 10);
        tokio::time::advance(DOUBLING_TIME).await;
        assert_eq!(queries(1_000), 20);
        tokio::time::advance(SLOW_TIME).await;
        assert_eq!(queries(1_000), 1_000, "whatever is due, it recovers");
    }
}
