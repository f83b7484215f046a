//! The one way in which an order changes: an event is applied, committed with what the shop is to
//! be told, and applied anew to whatever somebody else stored meanwhile.

use serde_json::Value;

use super::Inner;
use crate::domain::event::OutboxEvent;
use crate::domain::order::payment::RefundUpdate;
use crate::domain::order::{Order, TradeUpdate, Transition};
use crate::error::{Error, Kind};
use crate::store::{Committed, StoreError};

/// How often an event is applied anew to an order that somebody else changed meanwhile. Each time
/// another commit has succeeded, so that all of them together get on.
const COMMITS_MAX: usize = 20;

impl Inner {
    /// Makes an event durable, and with it what it means to the shop. What cannot be recorded is
    /// unknown, whatever the provider said. The order that comes back is the stored one; it may
    /// say more than the event did.
    ///
    /// # Errors
    ///
    /// 5002 when the store failed, or is another owner's by now.
    pub(super) async fn record(&self, order: Order, event: Transition) -> Result<Order, Error> {
        self.record_if(order, |_| Some(event.clone())).await
    }

    /// Makes durable what `decide` makes of the stored order; `None` leaves it as it is.
    ///
    /// # Errors
    ///
    /// As [`Inner::record`].
    pub(super) async fn record_if(
        &self,
        order: Order,
        decide: impl Fn(&Order) -> Option<Transition>,
    ) -> Result<Order, Error> {
        let mut order = order;
        for _ in 0..COMMITS_MAX {
            let Some(event) = decide(&order) else { return Ok(order) };
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

    /// What was remembered of an order is not handed out again when an attempt of it ended, or may
    /// have; who waits for the order, and the outbox, are told.
    fn changed(&self, event: &Transition, order: &Order, outbox: &[OutboxEvent]) {
        if matches!(event, Transition::CloseIntended { .. }) {
            self.forget(order);
        }
        let is_payment = matches!(event, Transition::Adopted { .. } | Transition::Corrected { .. });
        if is_payment
            || matches!(
                event,
                Transition::TradeQueried { said: TradeUpdate::Closed | TradeUpdate::Paid(_), .. }
            )
        {
            self.forget(order);
            self.waiters.tell(order.out_trade_no());
        }
        if matches!(event, Transition::Offered { .. }) {
            self.superseded_orders.add(order.out_trade_no());
        }
        if !outbox.is_empty() {
            self.outbox.wake();
        }
    }

    /// Hands out nothing that was made of this version of the order, or of an earlier one.
    pub(super) fn forget(&self, order: &Order) {
        self.replays.forget(order.out_trade_no(), order.version, self.clock.now());
    }
}

/// The provider's message that `event` came of.
fn message(event: &Transition) -> Option<&Value> {
    match event {
        Transition::TradeQueried { said: TradeUpdate::Paid(receipt), .. }
        | Transition::Adopted { receipt, .. }
        | Transition::Corrected { receipt, .. } => Some(&receipt.message),
        Transition::RefundQueried { said: RefundUpdate::Status(told), .. } => Some(&told.message),
        _ => None,
    }
}

/// 5002: it happened, and is not recorded. Logged here, where it is handled.
fn unrecorded(error: &StoreError) -> Error {
    tracing::error!(%error, "an outcome could not be recorded");
    Error::new(Kind::OutcomeUnknown)
}

/// 5002: another process has the store by now, and this one writes and sends nothing more.
pub(super) fn lost(order: &Order) -> Error {
    let out_trade_no = order.out_trade_no();
    tracing::error!(%out_trade_no, "the store was opened by another process: this one has lost the order");
    Error::new(Kind::OutcomeUnknown)
}
