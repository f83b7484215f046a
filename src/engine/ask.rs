//! Learning from a provider what became of an attempt, and ending it there.

use std::sync::Arc;

use serde_json::Value;

use super::Inner;
use super::budget::Budget;
use crate::domain::attempt::Attempt;
use crate::domain::order::{Event, Order, Receipt, Said};
use crate::domain::outbox::Outgoing;
use crate::domain::refund::RefundSaid;
use crate::error::{Error, Kind};
use crate::provider::{Closing, Failure, Provider, Trade};
use crate::store::{Committed, StoreError};

/// How often an outcome is applied anew to an order that somebody else changed meanwhile.
const COMMITS_MAX: usize = 5;

impl Inner {
    /// Asks the provider of attempt `n`, and makes durable what it says.
    ///
    /// # Errors
    ///
    /// When it cannot tell, or what it says cannot be recorded: nothing is known then.
    pub(super) async fn ask(
        &self,
        order: Order,
        n: u32,
        budget: Budget,
    ) -> Result<(Order, Trade), Error> {
        let (provider, attempt) = self.provider_of(&order, n)?;
        let trade = provider.query(attempt, self.call(budget)?).await.map_err(|it| untold(&it))?;
        let order = self.said(order, n, self.meaning(&trade)).await?;
        Ok((order, trade))
    }

    /// Closes attempt `n` at its provider, and makes durable what it says: the order that comes
    /// back may be paid.
    ///
    /// # Errors
    ///
    /// 4103 when it is too early or the buyer is paying; any other when nothing is known.
    pub(super) async fn close(&self, order: Order, n: u32, budget: Budget) -> Result<Order, Error> {
        let (provider, attempt) = self.provider_of(&order, n)?;
        let closing =
            provider.close(attempt, self.call(budget)?).await.map_err(|it| untold(&it))?;
        match closing {
            Closing::Closed => self.said(order, n, Said::Closed).await,
            Closing::Absent => self.said(order, n, Said::Absent).await,
            Closing::TooEarly => Err(Error::new(Kind::Busy)),
            Closing::Paid => match self.ask(order, n, budget).await? {
                (order, Trade::Paid(_) | Trade::Closed) => Ok(order),
                (_, Trade::Unpaid { .. } | Trade::Absent { .. }) => Err(Error::new(Kind::Busy)),
            },
        }
    }

    /// Makes durable what a provider said of attempt `n`.
    pub(super) async fn said(&self, order: Order, n: u32, said: Said) -> Result<Order, Error> {
        self.record(order, Event::Asked { n, at: self.clock.now(), said }).await
    }

    /// Makes an event durable, and with it what it means to the shop. What cannot be recorded is
    /// unknown, whatever the provider said. The order that comes back is the stored one; it may
    /// say more than the event did.
    ///
    /// # Errors
    ///
    /// 5002 when the store failed, or is another owner's by now.
    pub(super) async fn record(&self, order: Order, event: Event) -> Result<Order, Error> {
        let mut order = order;
        for _ in 0..COMMITS_MAX {
            let Some(next) = order.apply(event.clone()) else { return Ok(order) };
            let outbox = self.outgoing(&order, &next, message(&event));
            let committed = self.store.commit(&next, &outbox).await;
            match committed.map_err(|error| unrecorded(&error))? {
                Committed::Done => {
                    self.changed(&event, &next, &outbox);
                    return Ok(next);
                }
                Committed::OtherVersion(stored) => order = *stored,
                Committed::Lost => return Err(lost(&order)),
            }
        }
        Err(Error::new(Kind::OutcomeUnknown))
    }

    /// What was remembered of an order is not handed out again when an attempt of it ended; who
    /// waits for the order, and the outbox, are told.
    fn changed(&self, event: &Event, order: &Order, outbox: &[Outgoing]) {
        if matches!(event, Event::Asked { said: Said::Closed | Said::Paid(_), .. }) {
            self.forget(order);
            self.waiting.tell(order.out_trade_no());
        }
        if matches!(event, Event::Offered { .. }) {
            self.forsaken.add(order.out_trade_no());
        }
        if !outbox.is_empty() {
            self.outbox.wake();
        }
    }

    /// Hands out nothing that was made of this version of the order, or of an earlier one.
    pub(super) fn forget(&self, order: &Order) {
        self.recents.forget(order.out_trade_no(), order.version, self.clock.now());
    }

    /// The attempt `n`, and the merchant account it is under.
    pub(super) fn provider_of<'a>(
        &'a self,
        order: &'a Order,
        n: u32,
    ) -> Result<(&'a Arc<dyn Provider>, &'a Attempt), Error> {
        let attempt = order.attempt(n);
        let found = attempt.and_then(|attempt| {
            let provider = self.provider(&order.facts.pid, attempt.way.provider())?;
            Some((provider, attempt))
        });
        found.ok_or_else(|| {
            let no = order.out_trade_no();
            tracing::error!(%no, n, "the merchant of an attempt is no longer configured");
            Error::new(Kind::OutcomeUnknown)
        })
    }

    fn meaning(&self, trade: &Trade) -> Said {
        match trade {
            Trade::Absent { .. } => Said::Absent,
            Trade::Unpaid { .. } => Said::Unpaid,
            Trade::Closed => Said::Closed,
            Trade::Paid(paid) => Said::Paid(Receipt {
                transaction_id: paid.transaction_id.clone(),
                total_fee: paid.total_fee,
                paid_at: paid.paid_at.unwrap_or_else(|| self.clock.now()),
                openid: paid.openid.clone(),
                fits: paid.fits,
                refunded: paid.refunded,
                returns: self.settings.returns,
                message: paid.message.clone(),
            }),
        }
    }
}

/// The provider's message that `event` came of.
fn message(event: &Event) -> Option<&Value> {
    match event {
        Event::Asked { said: Said::Paid(receipt), .. } => Some(&receipt.message),
        Event::RefundAsked { said: RefundSaid::Told(told), .. } => Some(&told.message),
        _ => None,
    }
}

/// A question, or a close, without an answer that can be believed. Logged here, where it is
/// handled.
pub(super) fn untold(failure: &Failure) -> Error {
    let unknown = Error::new(Kind::OutcomeUnknown);
    match failure {
        Failure::NotSent(reason) => {
            tracing::warn!(reason, "a provider could not be asked");
            unknown
        }
        Failure::Refused { code, message }
        | Failure::Taken { code, message }
        | Failure::Throttled { code, message } => {
            tracing::warn!(code, message, "a provider refused a question");
            unknown.provider_said(code, message)
        }
        Failure::Unknown { reason, said } => {
            tracing::warn!(reason, "a provider could not tell what became of an order");
            match said {
                Some((code, message)) => unknown.provider_said(code, message),
                None => unknown,
            }
        }
    }
}

/// 5002: another process has taken the store over, and what happened is not recorded here.
pub(super) fn lost(order: &Order) -> Error {
    tracing::error!(no = %order.out_trade_no(), "the store has another owner: restart paygate");
    Error::new(Kind::OutcomeUnknown)
}

/// 5002: it happened, and is not recorded. Logged here, where it is handled.
fn unrecorded(error: &StoreError) -> Error {
    tracing::error!(%error, "an outcome could not be recorded");
    Error::new(Kind::OutcomeUnknown)
}
