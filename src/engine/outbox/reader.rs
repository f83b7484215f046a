//! Reads the events of an order, for a person who watches their delivery.

use std::sync::{Arc, Weak};

use crate::domain::channel::ProviderId;
use crate::domain::event::{Effect, EventId, EventType, OutboxEvent};
use crate::domain::ids::TransactionId;
use crate::domain::order::Order;
use crate::domain::order::payment::Payment;
use crate::engine::failures::store_unreachable;
use crate::engine::parts::{Engine, EngineParts};
use crate::error::{Error, Kind};

/// Reads the events that the outbox of an engine holds. It does not keep the engine from being
/// dropped.
#[derive(Clone)]
pub struct EventReader(Weak<EngineParts>);

impl Engine {
    /// A reader of this engine's events.
    #[must_use]
    pub fn event_reader(&self) -> EventReader {
        EventReader(Arc::downgrade(&self.0))
    }
}

impl EventReader {
    /// The events of the order that the payment belongs to, oldest first, or the event that
    /// reports a payment of no order. When a refund was requested again under its number, the
    /// event that reported its earlier end is not among them.
    ///
    /// # Errors
    ///
    /// [`Kind::NotSent`] when the store cannot be read, or the engine was dropped.
    pub async fn events_of_payment(
        &self,
        provider: ProviderId,
        id: &TransactionId,
    ) -> Result<Vec<OutboxEvent>, Error> {
        let engine = self.0.upgrade().ok_or_else(|| Error::new(Kind::NotSent))?;
        let unreachable = |error| store_unreachable(&error);
        let ids = match engine.store.find_transaction(id).await.map_err(unreachable)? {
            Some(out_trade_no) => {
                let order = engine.commits.load(&out_trade_no).await?;
                event_ids(&order)
            }
            None => {
                let merchants = engine.providers.merchants.keys();
                merchants.map(|pid| EventId::of_unmatched(provider, pid, id)).collect()
            }
        };
        let mut events = Vec::new();
        for id in &ids {
            events.extend(engine.store.outbox_find(id).await.map_err(unreachable)?);
        }
        events.sort_by_key(|event| event.created_at);
        Ok(events)
    }
}

impl std::fmt::Debug for EventReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EventReader")
    }
}

/// The ids of every event that may have been recorded about `order`.
fn event_ids(order: &Order) -> Vec<EventId> {
    let effects = order.payments.iter().flat_map(possible_effects);
    effects.map(|effect| EventId::of(order.out_trade_no(), &effect)).collect()
}

/// Every change of `payment` and its refunds that the shop may have got as an event.
fn possible_effects(payment: &Payment) -> Vec<Effect> {
    let transaction_id = &payment.transaction_id;
    let of_payment = EventType::ALL.map(|event| Effect {
        event,
        transaction_id: transaction_id.clone(),
        out_refund_no: None,
        requested_at: None,
    });
    let of_refunds = payment.refunds.iter().flat_map(|refund| {
        let times = [None, Some(refund.requested_at)];
        times.into_iter().flat_map(move |requested_at| {
            EventType::ALL.map(|event| Effect {
                event,
                transaction_id: transaction_id.clone(),
                out_refund_no: Some(refund.out_refund_no.clone()),
                requested_at,
            })
        })
    });
    of_payment.into_iter().chain(of_refunds).collect()
}
