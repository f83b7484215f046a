//! What becomes of one request whose number is claimed: asked, resumed, renewed or followed by
//! another attempt, step by step, until there is an answer.

use super::Inner;
use super::budget::Budget;
use super::create::{Created, busy, different};
use super::resolve::Incoming;
use super::switch::already_paid;
use crate::domain::admission::{Admission, judge};
use crate::domain::attempt::{AttemptState, valid_until};
use crate::domain::order::{Event, Order};
use crate::error::{Error, Kind};
use crate::provider::{Failure, Trade};

/// One request's work on its order, while no other request works on it.
pub(super) struct Story<'a> {
    pub(super) engine: &'a Inner,
    pub(super) incoming: &'a Incoming,
    pub(super) budget: Budget,
}

/// What a step led to.
pub(super) enum Step {
    /// The answer.
    Done(Box<Created>),
    /// More is known of the order: judge again.
    Again(Order),
    /// The provider does not take the stored parameters again: another attempt.
    Next(Order),
}

/// What is known of an attempt when it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prior {
    /// It was never sent.
    Fresh,
    /// The provider has no trade under its number.
    Absent,
    /// The provider has a trade under its number, which waits for its buyer.
    Unpaid,
    /// The buyer got material for it, which is stale by now.
    Stale,
}

/// How many steps one request takes at most: an unknown outcome, a question, the same again, a
/// number that is taken, another attempt.
const STEPS_MAX: usize = 6;

impl Story<'_> {
    /// Goes on from a first step until there is an answer.
    ///
    /// # Errors
    ///
    /// [`Error::kind`] says why there is no material.
    pub(super) async fn run(&self, first: Step) -> Result<Created, Error> {
        let mut step = first;
        for _ in 0..STEPS_MAX {
            step = match step {
                Step::Done(created) => return Ok(*created),
                Step::Again(order) => self.admit(order).await?,
                Step::Next(order) => self.next(order).await?,
            };
        }
        match step {
            Step::Done(created) => Ok(*created),
            Step::Again(_) | Step::Next(_) => Err(Error::new(Kind::OutcomeUnknown)),
        }
    }

    async fn admit(&self, order: Order) -> Result<Step, Error> {
        let Incoming { fingerprint, way, .. } = self.incoming;
        match judge(&order, fingerprint, way, self.engine.clock.now()) {
            Admission::Conflict(fields) => Err(different(&fields)),
            Admission::Done(_) => Err(already_paid(&order)),
            Admission::Closed => Err(Error::new(Kind::Closed)),
            Admission::Wait => Err(busy()),
            Admission::Replay(n) => self.replay(order, n).await,
            Admission::Renew(n) => self.send(order, n, Prior::Stale).await,
            Admission::Resume(n) => self.resume(order, n).await,
            Admission::Next => Ok(Step::Next(order)),
        }
    }

    /// The material of attempt `n` again, which becomes the offered one if it was superseded.
    async fn replay(&self, order: Order, n: u32) -> Result<Step, Error> {
        let order = self.offer(order, n).await?;
        let created = self.present(&order, n)?;
        Ok(Step::Done(Box::new(Created { replayed: true, ..created })))
    }

    /// Asks what became of attempt `n`, then sends it again as it was.
    async fn resume(&self, order: Order, n: u32) -> Result<Step, Error> {
        let attempt = order.attempt(n);
        let was_local = attempt
            .is_some_and(|it| it.state == AttemptState::Prepared && it.way.product.is_local());
        if was_local {
            return self.send(order, n, Prior::Fresh).await;
        }
        let (order, trade) = self.engine.ask(order, n, self.budget).await?;
        match trade {
            Trade::Absent { .. } => {
                let order = self.engine.record(order, Event::Again { n }).await?;
                self.send(order, n, Prior::Absent).await
            }
            Trade::Unpaid { .. } => self.send(order, n, Prior::Unpaid).await,
            Trade::Closed | Trade::Paid(_) => Ok(Step::Again(order)),
        }
    }

    /// Sends attempt `n`, which is durable, and records what became of it.
    ///
    /// # Errors
    ///
    /// When the provider refused it, it did not leave, or its outcome stays unknown.
    pub(super) async fn send(&self, order: Order, n: u32, prior: Prior) -> Result<Step, Error> {
        let attempt = order.attempt(n).ok_or_else(|| Error::new(Kind::OutcomeUnknown))?;
        let (product, expires) = (attempt.way.product, attempt.expires);
        let call = self.engine.call(self.budget)?;
        let failure = match self.incoming.provider.open(attempt, call).await {
            Ok(material) => {
                let valid_until = valid_until(product, self.engine.clock.now(), expires);
                return self.answered(order, Event::Answered { n, material, valid_until }).await;
            }
            Err(failure) => failure,
        };
        let told = told(&failure);
        match (failure, prior) {
            (Failure::Refused { .. } | Failure::Taken { .. }, Prior::Stale) => {
                Ok(Step::Next(order))
            }
            (Failure::Refused { code, .. }, Prior::Unpaid) | (Failure::Taken { code, .. }, _) => {
                self.engine.record(order, Event::Taken { n, code }).await.map(Step::Again)
            }
            (Failure::Refused { code, message }, Prior::Fresh | Prior::Absent) => {
                self.engine.record(order, Event::Refused { n, code, message }).await?;
                Err(told)
            }
            (Failure::NotSent(_), Prior::Fresh) => {
                self.engine.record(order, Event::Unsent { n }).await?;
                Err(told)
            }
            (Failure::Unknown { reason, .. }, Prior::Fresh | Prior::Absent) => {
                self.engine.record(order, Event::Lost { n, reason }).await.map(Step::Again)
            }
            (Failure::Throttled { code, .. }, Prior::Fresh | Prior::Absent) => {
                let reason = format!("throttled: {code}");
                self.engine.record(order, Event::Lost { n, reason }).await.map(Step::Again)
            }
            (Failure::NotSent(_) | Failure::Unknown { .. } | Failure::Throttled { .. }, _) => {
                Err(told)
            }
        }
    }

    async fn answered(&self, order: Order, event: Event) -> Result<Step, Error> {
        let Event::Answered { n, .. } = event else { return Ok(Step::Again(order)) };
        let order = self.engine.record(order, event).await?;
        let order = self.offer(order, n).await?;
        if order.attempt(n).is_some_and(|it| order.is_offered(it)) {
            self.present(&order, n).map(|created| Step::Done(Box::new(created)))
        } else {
            // Meanwhile it was paid, or closed.
            Ok(Step::Again(order))
        }
    }

    /// Makes attempt `n` the offered one again, if a later one had superseded it.
    async fn offer(&self, order: Order, n: u32) -> Result<Order, Error> {
        if order.attempt(n).is_some_and(|it| it.superseded && it.is_live()) {
            return self.engine.record(order, Event::Offered { n }).await;
        }
        Ok(order)
    }

    fn present(&self, order: &Order, n: u32) -> Result<Created, Error> {
        let attempt = order.attempt(n).ok_or_else(|| Error::new(Kind::OutcomeUnknown))?;
        self.engine.present(self.incoming, order, attempt)
    }
}

/// What the caller is told of a failed call. Logged here, where it is handled.
fn told(failure: &Failure) -> Error {
    match failure {
        Failure::Refused { code, message } => {
            tracing::warn!(code, message, "the provider refused an order");
            Error::new(Kind::ProviderRefused).provider_said(code, message)
        }
        Failure::Taken { code, message } => {
            tracing::warn!(code, message, "the provider has another trade under the number");
            Error::new(Kind::OutcomeUnknown).provider_said(code, message)
        }
        Failure::Throttled { code, message } => {
            tracing::warn!(code, message, "the provider got too many calls");
            Error::new(Kind::OutcomeUnknown).provider_said(code, message)
        }
        Failure::NotSent(reason) => {
            tracing::warn!(reason, "nothing was sent to the provider");
            Error::new(Kind::NotSent)
        }
        Failure::Unknown { reason, said } => {
            tracing::warn!(reason, "the outcome of a provider call is unknown");
            let error = Error::new(Kind::OutcomeUnknown);
            match said {
                Some((code, message)) => error.provider_said(code, message),
                None => error,
            }
        }
    }
}
