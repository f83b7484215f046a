//! One request's work on its order, step by step, until there is an answer: the provider is
//! queried about an earlier attempt, which is handed out, sent again, or followed by another one.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use super::created::Created;
use super::resolve::Resolved;
use crate::domain::order::admission::{Admission, judge};
use crate::domain::order::attempt::{Attempt, AttemptState, valid_until};
use crate::domain::order::open_outcome::{AfterOpen, OpenOutcome, SentBefore, after_open};
use crate::domain::order::{Order, Transition};
use crate::engine::failures::{already_paid, busy, contradiction, different_order};
use crate::engine::locked::LockedWork;
use crate::engine::open_outcome::open_outcome;
use crate::error::{Error, Kind};
use crate::provider::TradeState;

/// One request's work on its order, under the order's lock.
pub(super) struct CreateRun<'a> {
    pub(super) locked: &'a LockedWork,
    pub(super) resolved: &'a Resolved,
    /// How often this request sent an order to a provider.
    sendings: AtomicU32,
    /// Whether the outcome of one of them was unknown.
    had_unknown_outcome: AtomicBool,
}

/// What a step led to.
pub(super) enum Step {
    /// The answer.
    Done(Box<Created>),
    /// More is known of the order: judge it again.
    Reevaluate(Order),
    /// The provider does not accept the stored parameters again: open another attempt.
    NewAttempt(Order),
}

/// An attempt that is sent.
struct Sending {
    n: u32,
    sent_before: SentBefore,
    /// The trades that are closed before its material is handed out.
    closing: Vec<u32>,
}

/// The most steps of one request: three times an unknown outcome and a query, a number in use,
/// another attempt.
const STEPS_MAX: usize = 10;

/// How often one request sends an order whose outcome stays unknown, and how long it waits before
/// the second and the third time: more calls do not help a provider that fails under load.
const SENDINGS_MAX: u32 = 3;
const PAUSES: [Duration; 2] = [Duration::from_millis(250), Duration::from_millis(1_000)];

/// An order with this many attempts gets no replacement of an outdated one.
const REPLACED_MAX: usize = 32;

impl<'a> CreateRun<'a> {
    pub(super) fn new(locked: &'a LockedWork, resolved: &'a Resolved) -> CreateRun<'a> {
        let (sendings, had_unknown_outcome) = (AtomicU32::new(0), AtomicBool::new(false));
        CreateRun { locked, resolved, sendings, had_unknown_outcome }
    }

    /// Sends a new order's first attempt, and goes on until there is an answer.
    ///
    /// # Errors
    ///
    /// [`Error::kind`] says why there is no material.
    pub(super) async fn start(&self, order: Order) -> Result<Created, Error> {
        let sent = Box::pin(self.send(order, Sending::first(1))).await;
        self.finish(sent).await
    }

    /// Judges a stored order, and goes on until there is an answer.
    ///
    /// # Errors
    ///
    /// [`Error::kind`] says why there is no material.
    pub(super) async fn resume(&self, order: Order) -> Result<Created, Error> {
        self.finish(Ok(Step::Reevaluate(order))).await
    }

    async fn finish(&self, first: Result<Step, Error>) -> Result<Created, Error> {
        let created = match first {
            Ok(step) => Box::pin(self.steps(step)).await,
            Err(error) => Err(error),
        };
        if !self.had_unknown_outcome.load(Ordering::Relaxed) {
            return created;
        }
        // The provider may have received what this request sent, however its work ended.
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
                Step::Reevaluate(order) => Box::pin(self.admit(order)).await?,
                Step::NewAttempt(order) => Box::pin(self.open_another(order)).await?,
            };
        }
        match step {
            Step::Done(created) => Ok(*created),
            Step::Reevaluate(_) | Step::NewAttempt(_) => Err(Error::new(Kind::OutcomeUnknown)),
        }
    }

    async fn admit(&self, order: Order) -> Result<Step, Error> {
        let key = &self.resolved.key;
        let now = self.locked.engine.clock.now();
        let admission = judge(&order, &key.fingerprint, &key.method, now);
        let (out_trade_no, verdict) = (order.out_trade_no(), admission.name());
        tracing::trace!(%out_trade_no, verdict, "paygate judged a request");
        match admission {
            Admission::Conflict(fields) => Err(different_order(&fields)),
            Admission::AlreadyPaid(_) => Err(already_paid(&order)),
            Admission::Closed => Err(Error::new(Kind::Closed)),
            Admission::Wait => Err(busy()),
            Admission::Replay(n) => self.replay(order, n).await,
            Admission::Renew(n) => {
                let sent_before = SentBefore::Stale;
                self.send(order, Sending { n, sent_before, closing: Vec::new() }).await
            }
            Admission::Resume(n) => Box::pin(self.resume_attempt(order, n)).await,
            Admission::NewAttempt => Ok(Step::NewAttempt(order)),
        }
    }

    /// Hands out the material of attempt `n` again, which becomes the offered attempt if a later
    /// one superseded it.
    async fn replay(&self, order: Order, n: u32) -> Result<Step, Error> {
        let order = match order.attempt(n).is_some_and(|attempt| attempt.superseded) {
            true => self.locked.record(order, Transition::Offered { n }).await?,
            false => order,
        };
        let created = self.present(&order, n)?;
        tracing::debug!(n, "paygate answered a repeated request");
        Ok(Step::Done(Box::new(Created { replayed: true, ..created })))
    }

    /// Queries attempt `n`, which handed out nothing, then sends it again as it was. Every other
    /// trade that the buyer can pay is queried first, and closed only when there is material to
    /// hand out in its place: a buyer who returns to a provider that is down keeps what can be
    /// paid.
    async fn resume_attempt(&self, order: Order, n: u32) -> Result<Step, Error> {
        self.may_switch(&order)?;
        let Some(attempt) = order.attempt(n).cloned() else { return Ok(Step::NewAttempt(order)) };
        if self.is_outdated(&order, &attempt) {
            return Ok(Step::NewAttempt(order));
        }
        let is_other = |other: &Attempt| !other.shares_trade(&attempt);
        let (order, closing) = self.locked.query_payable_trades(order, is_other).await?;
        let is_kept =
            |other: &Attempt| other.is_payable() && is_other(other) && !closing.contains(&other.n);
        self.may_open_beside(&order, is_kept)?;
        let provider = attempt.method.provider();
        let is_kept_here = |other: &Attempt| is_kept(other) && other.method.provider() == provider;
        if order.attempts.iter().any(is_kept_here) {
            // The trade that cannot be closed there has a number that this method can share.
            return Ok(Step::NewAttempt(order));
        }
        let shares = |other: &Attempt| other.is_payable() && other.shares_trade(&attempt);
        let is_never_sent = attempt.is_unsigned() || attempt.state == AttemptState::NotSent;
        if is_never_sent && !order.attempts.iter().any(shares) {
            let order = self.locked.record(order, Transition::Resending { n }).await?;
            return self.send(order, Sending { closing, ..Sending::first(n) }).await;
        }
        let queried = self.locked.query_trade(order, n).await;
        let (order, trade) = queried.map_err(|error| match error.kind() {
            // The provider may have received the earlier sending.
            Kind::NotSent if attempt.is_unknown() => error.into_kind(Kind::OutcomeUnknown),
            _ => error,
        })?;
        let was_in_use = matches!(attempt.state, AttemptState::NumberInUse { .. });
        let sent_before = match trade {
            TradeState::Closed | TradeState::Paid(_) => return Ok(Step::Reevaluate(order)),
            // It is another order's, or has other parameters: it is closed first.
            TradeState::Unpaid { .. } if was_in_use => return Ok(Step::NewAttempt(order)),
            TradeState::Unpaid { .. } => SentBefore::Unpaid,
            TradeState::NotFound { .. } if was_in_use => SentBefore::Contradicted,
            TradeState::NotFound { .. } => SentBefore::NotFound,
        };
        let order = self.locked.record(order, Transition::Resending { n }).await?;
        self.send(order, Sending { n, sent_before, closing }).await
    }

    /// Whether the provider refused, or never had, parameters that the configuration has replaced
    /// since.
    fn is_outdated(&self, order: &Order, attempt: &Attempt) -> bool {
        let terms = &self.resolved.request.terms;
        let (pay_type, provider) = (attempt.method.pay_type, &self.resolved.provider);
        let notify_url = self.locked.engine.providers.notify_url(pay_type, &terms.pid);
        let is_replaced = attempt.params.notify_url != notify_url
            || provider.account_of(attempt) != provider.account(pay_type, terms);
        attempt.state.may_be_resent() && is_replaced && order.attempts.len() < REPLACED_MAX
    }

    /// Sends attempt `n`, which is durable and was never sent.
    ///
    /// # Errors
    ///
    /// When the provider refused it, it did not leave, or its outcome stays unknown.
    pub(super) async fn send_new(&self, order: Order, n: u32) -> Result<Step, Error> {
        self.send(order, Sending::first(n)).await
    }

    /// Sends an attempt, which is durable, and records the outcome.
    async fn send(&self, order: Order, sending: Sending) -> Result<Step, Error> {
        let n = sending.n;
        self.pause(sending.sent_before).await?;
        let providers = &self.locked.engine.providers;
        let context = providers.context(&order, n)?;
        let (product, expires_at) = (context.attempt.method.product, context.attempt.expires_at);
        let call = providers.next_call(self.locked.budget)?;
        let opened = providers.open(context, call).await;
        let error = opened.as_ref().err().map(|failure| failure.open_error());
        let order = match opened.is_ok() {
            true => Box::pin(self.locked.close_trades(order, &sending.closing)).await?,
            false => order,
        };
        let now = self.locked.engine.clock.now();
        let outcome = open_outcome(opened, valid_until(product, now, expires_at));
        if matches!(outcome, OpenOutcome::Unknown { .. }) {
            self.had_unknown_outcome.store(true, Ordering::Relaxed);
        }
        let error = || error.unwrap_or_else(|| Error::new(Kind::OutcomeUnknown));
        match after_open(n, sending.sent_before, outcome) {
            AfterOpen::HandOut(answered) => self.hand_out(order, n, answered).await,
            AfterOpen::Reevaluate(transition) => {
                self.locked.record(order, transition).await.map(Step::Reevaluate)
            }
            AfterOpen::Retry(transition) => {
                let order = self.locked.record(order, transition).await?;
                match self.sendings.load(Ordering::Relaxed) < SENDINGS_MAX {
                    true => Ok(Step::Reevaluate(order)),
                    false => Err(error()),
                }
            }
            AfterOpen::NewAttempt => Ok(Step::NewAttempt(order)),
            AfterOpen::Fail(transition) => {
                if let Some(transition) = transition {
                    self.locked.record(order, transition).await?;
                }
                Err(error())
            }
            AfterOpen::Contradiction { code } => Err(contradiction(&order, n, &code)),
        }
    }

    /// Waits before each sending after the first one, longer each time, where the provider did not
    /// make a trade of the earlier ones.
    async fn pause(&self, sent_before: SentBefore) -> Result<(), Error> {
        let sent = self.sendings.fetch_add(1, Ordering::Relaxed);
        let is_repeated = match sent_before {
            SentBefore::NotFound | SentBefore::Unpaid | SentBefore::Contradicted => true,
            SentBefore::Never | SentBefore::Stale => false,
        };
        let nth = usize::try_from(sent).unwrap_or(usize::MAX).checked_sub(1);
        let pause = nth.and_then(|nth| PAUSES.get(nth)).filter(|_| is_repeated);
        if let Some(pause) = pause {
            tokio::time::sleep(*pause).await;
        }
        Ok(())
    }

    async fn hand_out(&self, order: Order, n: u32, answered: Transition) -> Result<Step, Error> {
        let order = self.locked.record(order, answered).await?;
        if order.attempt(n).is_some_and(|attempt| order.is_offered(attempt)) {
            self.present(&order, n).map(|created| Step::Done(Box::new(created)))
        } else {
            // Meanwhile the buyer paid the order, or the shop closed it.
            Ok(Step::Reevaluate(order))
        }
    }

    fn present(&self, order: &Order, n: u32) -> Result<Created, Error> {
        let attempt = order.attempt(n).filter(|attempt| order.is_offered(attempt));
        let attempt = attempt.ok_or_else(|| Error::new(Kind::OutcomeUnknown))?;
        self.locked.engine.present(self.resolved, order, attempt)
    }
}

impl Sending {
    /// The first sending of attempt `n`.
    fn first(n: u32) -> Sending {
        Sending { n, sent_before: SentBefore::Never, closing: Vec::new() }
    }
}
