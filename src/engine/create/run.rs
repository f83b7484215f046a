//! What becomes of one request whose number is claimed: asked, resumed, renewed or followed by
//! another attempt, step by step, until there is an answer.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use super::resolve::Incoming;
use super::switch::{already_paid, contradiction};
use super::{Created, busy, different};
use crate::domain::order::admission::{Admission, judge};
use crate::domain::order::attempt::{Attempt, AttemptState, Material, valid_until};
use crate::domain::order::{Order, Transition};
use crate::engine::Inner;
use crate::engine::call_budget::Budget;
use crate::engine::provider_calls::{CallFailure, with_provider_error};
use crate::error::{Error, Kind};
use crate::provider::{Failure, TradeState};

/// One request's work on its order, while no other request works on it.
pub(in crate::engine) struct CreateRun<'a> {
    pub(in crate::engine) engine: &'a Inner,
    pub(in crate::engine) incoming: &'a Incoming,
    pub(in crate::engine) budget: Budget,
    /// How often this request sent an order to a provider.
    sendings: AtomicU32,
    /// Whether what became of one of them was unknown.
    is_unknown: AtomicBool,
}

/// What a step led to.
pub(in crate::engine) enum Step {
    /// A new order, whose first attempt is to be sent.
    First(Order),
    /// The answer.
    Done(Box<Created>),
    /// More is known of the order: judge again.
    Reevaluate(Order),
    /// The provider does not take the stored parameters again: another attempt.
    NewAttempt(Order),
}

/// What is known of an attempt when it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum SentBefore {
    /// It was never sent.
    Fresh,
    /// The provider has no trade under its number.
    Absent,
    /// The provider said that it has a trade under its number, then that it has none.
    Contradicted,
    /// The provider has a trade under its number, which waits for its buyer.
    Unpaid,
    /// The buyer got material for it, which is stale by now.
    Stale,
}

/// An attempt that is sent.
struct Sending {
    n: u32,
    prior: SentBefore,
    /// The trades that are closed before its material is handed out.
    closing: Vec<u32>,
}

/// How many steps one request takes at most: three times an unknown outcome and a question, a
/// number that is taken, another attempt.
const STEPS_MAX: usize = 10;

/// How often one request sends an order whose outcome stays unknown, and how long it waits before
/// the second and the third time: who fails under load is not helped by more of it.
const SENDINGS_MAX: u32 = 3;
const PAUSES: [Duration; 2] = [Duration::from_millis(250), Duration::from_millis(1_000)];

/// An order with more attempts than these keeps what it has.
const REPLACED_MAX: usize = 32;

impl<'a> CreateRun<'a> {
    pub(in crate::engine) fn new(engine: &'a Inner, incoming: &'a Incoming) -> CreateRun<'a> {
        let budget = engine.budget();
        let (sendings, is_unknown) = (AtomicU32::new(0), AtomicBool::new(false));
        CreateRun { engine, incoming, budget, sendings, is_unknown }
    }

    /// Goes on from a first step until there is an answer.
    ///
    /// # Errors
    ///
    /// [`Error::kind`] says why there is no material.
    pub(in crate::engine) async fn run(&self, first: Step) -> Result<Created, Error> {
        let created = self.steps(first).await;
        if !self.is_unknown.load(Ordering::Relaxed) {
            return created;
        }
        // Something that this request sent may have arrived, whatever ended its work.
        created.map_err(|error| match error.kind() {
            Kind::NotSent | Kind::Busy => error.into_kind(Kind::OutcomeUnknown),
            _ => error,
        })
    }

    async fn steps(&self, first: Step) -> Result<Created, Error> {
        let mut step = first;
        for _ in 0..STEPS_MAX {
            step = match step {
                Step::Done(created) => return Ok(*created),
                Step::First(order) => self.send_first(order, 1).await?,
                Step::Reevaluate(order) => self.admit(order).await?,
                Step::NewAttempt(order) => self.next(order).await?,
            };
        }
        match step {
            Step::Done(created) => Ok(*created),
            Step::First(_) | Step::Reevaluate(_) | Step::NewAttempt(_) => {
                Err(Error::new(Kind::OutcomeUnknown))
            }
        }
    }

    async fn admit(&self, order: Order) -> Result<Step, Error> {
        let Incoming { fingerprint, method, .. } = self.incoming;
        match judge(&order, fingerprint, method, self.engine.clock.now()) {
            Admission::Conflict(fields) => Err(different(&fields)),
            Admission::AlreadyPaid(_) => Err(already_paid(&order)),
            Admission::Closed => Err(Error::new(Kind::Closed)),
            Admission::Wait => Err(busy()),
            Admission::Replay(n) => self.replay(order, n).await,
            Admission::Renew(n) => {
                let sending = Sending { n, prior: SentBefore::Stale, closing: Vec::new() };
                self.send(order, sending).await
            }
            Admission::Resume(n) => self.resume(order, n).await,
            Admission::NewAttempt => Ok(Step::NewAttempt(order)),
        }
    }

    /// The material of attempt `n` again, which becomes the offered one if it was superseded.
    async fn replay(&self, order: Order, n: u32) -> Result<Step, Error> {
        let order = self.offer(order, n).await?;
        let created = self.present(&order, n)?;
        Ok(Step::Done(Box::new(Created { replayed: true, ..created })))
    }

    /// Asks what became of attempt `n`, which handed out nothing, then sends it again as it was.
    /// Whatever else the buyer holds is asked about first, and closed only when there is something
    /// to give in its place: who goes back to a provider that is down keeps what can be paid.
    async fn resume(&self, order: Order, n: u32) -> Result<Step, Error> {
        self.may_switch(&order)?;
        let Some(attempt) = order.attempt(n) else { return Ok(Step::NewAttempt(order)) };
        if self.is_outdated(&order, attempt) {
            return Ok(Step::NewAttempt(order));
        }
        let its = attempt.clone();
        let is_other = |it: &Attempt| !it.shares_trade(&its);
        let (order, closing) =
            self.engine.query_payable_trades(order, is_other, self.budget).await?;
        let is_kept = |it: &Attempt| it.is_payable() && is_other(it) && !closing.contains(&it.n);
        self.may_leave(&order, is_kept)?;
        let provider = its.method.provider();
        if order.attempts.iter().any(|it| is_kept(it) && it.method.provider() == provider) {
            // What cannot be closed there has a number that this way can share.
            return Ok(Step::NewAttempt(order));
        }
        let is_alone = !order.attempts.iter().any(|it| it.is_payable() && it.shares_trade(&its));
        let is_fresh = its.is_unsigned() || its.state == AttemptState::NotSent;
        if is_fresh && is_alone {
            let order = self.again(order, n).await?;
            return self.send(order, Sending { n, prior: SentBefore::Fresh, closing }).await;
        }
        let asked = self.engine.query_trade(order, n, self.budget).await;
        let (order, trade) = asked.map_err(|error| match error.kind() {
            // What was sent before may have arrived.
            Kind::NotSent if its.is_unknown() => error.into_kind(Kind::OutcomeUnknown),
            _ => error,
        })?;
        let was_taken = matches!(its.state, AttemptState::NumberInUse { .. });
        let prior = match trade {
            TradeState::Closed | TradeState::Paid(_) => return Ok(Step::Reevaluate(order)),
            // It is another order's, or of other parameters: it is closed first.
            TradeState::Unpaid { .. } if was_taken => return Ok(Step::NewAttempt(order)),
            TradeState::Unpaid { .. } => SentBefore::Unpaid,
            TradeState::NotFound { .. } if was_taken => SentBefore::Contradicted,
            TradeState::NotFound { .. } => SentBefore::Absent,
        };
        let order = self.again(order, n).await?;
        self.send(order, Sending { n, prior, closing }).await
    }

    async fn again(&self, order: Order, n: u32) -> Result<Order, Error> {
        self.engine.record(order, Transition::Resending { n }).await
    }

    /// Whether the provider refused parameters that the configuration has replaced since.
    fn is_outdated(&self, order: &Order, attempt: &Attempt) -> bool {
        let terms = &self.incoming.request.terms;
        let pay_type = attempt.method.pay_type;
        let account = self.incoming.provider.account(pay_type, terms);
        let is_replaced = attempt.params.notify_url != self.engine.notify_url(pay_type, &terms.pid)
            || self.incoming.provider.account_of(attempt) != account;
        let is_refused = attempt.state.precedence() == AttemptState::NotFound.precedence();
        is_refused && is_replaced && order.attempts.len() < REPLACED_MAX
    }

    /// Sends attempt `n`, which was never sent.
    ///
    /// # Errors
    ///
    /// When the provider refused it, it did not leave, or its outcome stays unknown.
    pub(in crate::engine) async fn send_first(&self, order: Order, n: u32) -> Result<Step, Error> {
        self.send(order, Sending { n, prior: SentBefore::Fresh, closing: Vec::new() }).await
    }

    /// Sends an attempt, which is durable, and records what became of it.
    async fn send(&self, order: Order, sending: Sending) -> Result<Step, Error> {
        let n = sending.n;
        self.pause(sending.prior).await?;
        let at = self.engine.provider_of(&order, n)?;
        let (product, expires) = (at.attempt.method.product, at.attempt.expires_at);
        let call = self.engine.call(self.budget)?;
        let failure = match self.engine.open_at(at, call).await {
            Ok(material) => {
                let order = self.engine.close_trades(order, &sending.closing, self.budget).await?;
                let valid_until = valid_until(product, self.engine.clock.now(), expires);
                return self.answered(order, n, (material, valid_until)).await;
            }
            Err(failure) => failure,
        };
        self.failed(order, &sending, failure).await
    }

    /// Waits longer before each sending after the first, where the first did not come to anything.
    async fn pause(&self, prior: SentBefore) -> Result<(), Error> {
        let sent = self.sendings.fetch_add(1, Ordering::Relaxed);
        let is_repeated =
            matches!(prior, SentBefore::Absent | SentBefore::Unpaid | SentBefore::Contradicted);
        let nth = usize::try_from(sent).unwrap_or(usize::MAX).checked_sub(1);
        let pause = nth.and_then(|nth| PAUSES.get(nth)).filter(|_| is_repeated);
        if let Some(pause) = pause {
            tokio::time::sleep(*pause).await;
        }
        Ok(())
    }

    /// Records what became of a sending without material.
    async fn failed(
        &self,
        order: Order,
        sending: &Sending,
        failure: CallFailure,
    ) -> Result<Step, Error> {
        let (n, prior) = (sending.n, sending.prior);
        let error = client_error(&failure);
        if matches!(failure, CallFailure::Failed(Failure::OutcomeUnknown { .. })) {
            self.is_unknown.store(true, Ordering::Relaxed);
        }
        let failure = match failure {
            CallFailure::NotMade(_) => Failure::NotSent(String::new()),
            CallFailure::Failed(failure) => failure,
        };
        match (failure, prior) {
            (Failure::Refused { .. }, SentBefore::Stale | SentBefore::Unpaid)
            | (Failure::NumberInUse { .. }, SentBefore::Stale) => Ok(Step::NewAttempt(order)),
            (
                Failure::Refused { code, .. } | Failure::NumberInUse { code, .. },
                SentBefore::Contradicted,
            ) => Err(contradiction(&order, n, &code)),
            (Failure::NumberInUse { code, .. }, _) => self
                .engine
                .record(order, Transition::NumberInUse { n, code })
                .await
                .map(Step::Reevaluate),
            (Failure::Refused { code, message }, SentBefore::Fresh | SentBefore::Absent) => {
                self.engine.record(order, Transition::Refused { n, code, message }).await?;
                Err(error)
            }
            (Failure::NotSent(_), SentBefore::Fresh) => {
                self.engine.record(order, Transition::NotSent { n }).await?;
                Err(error)
            }
            (Failure::Throttled { code, .. }, SentBefore::Fresh | SentBefore::Absent) => {
                self.engine.record(order, Transition::OutcomeUnknown { n, reason: code }).await?;
                Err(error)
            }
            (Failure::OutcomeUnknown { reason, .. }, SentBefore::Fresh | SentBefore::Absent) => {
                let order =
                    self.engine.record(order, Transition::OutcomeUnknown { n, reason }).await?;
                if self.sendings.load(Ordering::Relaxed) < SENDINGS_MAX {
                    return Ok(Step::Reevaluate(order));
                }
                Err(error)
            }
            (
                Failure::NotSent(_) | Failure::Throttled { .. } | Failure::OutcomeUnknown { .. },
                _,
            ) => Err(error),
        }
    }

    async fn answered(
        &self,
        order: Order,
        n: u32,
        (material, valid_until): (Material, crate::domain::time::Millis),
    ) -> Result<Step, Error> {
        let order =
            self.engine.record(order, Transition::Answered { n, material, valid_until }).await?;
        if order.attempt(n).is_some_and(|it| order.is_offered(it)) {
            self.present(&order, n).map(|created| Step::Done(Box::new(created)))
        } else {
            // Meanwhile it was paid, or closed.
            Ok(Step::Reevaluate(order))
        }
    }

    /// Makes attempt `n` the offered one again, if a later one had superseded it.
    async fn offer(&self, order: Order, n: u32) -> Result<Order, Error> {
        if order.attempt(n).is_some_and(|it| it.superseded && it.is_presentable()) {
            return self.engine.record(order, Transition::Offered { n }).await;
        }
        Ok(order)
    }

    fn present(&self, order: &Order, n: u32) -> Result<Created, Error> {
        let attempt = order.attempt(n).filter(|it| order.is_offered(it));
        let attempt = attempt.ok_or_else(|| Error::new(Kind::OutcomeUnknown))?;
        self.engine.present(self.incoming, order, attempt)
    }
}

/// What the caller is told of a failed call. Logged here, where it is handled.
fn client_error(failure: &CallFailure) -> Error {
    let failure = match failure {
        CallFailure::NotMade(refused) => return refused.error(),
        CallFailure::Failed(failure) => failure,
    };
    match failure {
        Failure::Refused { code, message } => {
            tracing::warn!(code, said = message, "the provider refused an order");
            Error::new(Kind::ProviderRefused).provider_said(code, message)
        }
        Failure::NumberInUse { code, message } => {
            tracing::warn!(code, said = message, "the provider has another trade under the number");
            Error::new(Kind::OutcomeUnknown).provider_said(code, message)
        }
        Failure::Throttled { code, message } => {
            tracing::warn!(code, said = message, "the provider has no time for an order");
            Error::new(Kind::NotSent).provider_said(code, message)
        }
        Failure::NotSent(reason) => {
            tracing::warn!(reason, "nothing was sent to the provider");
            Error::new(Kind::NotSent)
        }
        Failure::OutcomeUnknown { reason, said } => {
            let (code, words) = said.clone().unwrap_or_default();
            tracing::warn!(reason, code, said = words, "the outcome of a provider call is unknown");
            with_provider_error(Error::new(Kind::OutcomeUnknown), said.as_ref())
        }
    }
}
