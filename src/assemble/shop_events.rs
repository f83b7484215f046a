//! The shop's events for the cashier page: their state from the engine, and what the shop answered
//! to each delivery since this process started.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::channel::ProviderId;
use crate::domain::event::{EventId, OutboxEvent};
use crate::domain::ids::TransactionId;
use crate::domain::time::Millis;
use crate::engine::{Deliver, EventReader};
use crate::merchant::webhook::Webhook;
use crate::mock::{ShopDelivery, ShopEvent, ShopEvents};
use crate::provider::BoxFuture;

/// How many events' deliveries are kept; the oldest event is dropped.
const EVENTS_MAX: usize = 4096;

/// How many deliveries of one event are kept; the oldest is dropped.
const DELIVERIES_MAX: usize = 32;

/// The webhook of the sidecar in mock mode: it keeps the shop's answers for the cashier page.
#[derive(Debug)]
pub(super) struct RecordedWebhook {
    pub(super) webhook: Webhook,
    pub(super) deliveries: Arc<DeliveryLog>,
}

impl Deliver for RecordedWebhook {
    fn deliver<'a>(
        &'a self,
        event: &'a OutboxEvent,
        now: Millis,
    ) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let delivered = self.webhook.deliver(event, now).await;
            let refusal = delivered.as_ref().err().cloned();
            self.deliveries.add(&event.id, ShopDelivery { at: now, refusal });
            delivered
        })
    }
}

/// The last deliveries of the last events.
#[derive(Debug, Default)]
pub(super) struct DeliveryLog(Mutex<LoggedDeliveries>);

#[derive(Debug, Default)]
struct LoggedDeliveries {
    of_events: HashMap<EventId, VecDeque<ShopDelivery>>,
    /// The events in the order of their first delivery.
    order: VecDeque<EventId>,
}

impl DeliveryLog {
    fn add(&self, id: &EventId, delivery: ShopDelivery) {
        let mut logged = self.locked();
        if !logged.of_events.contains_key(id) {
            if logged.order.len() >= EVENTS_MAX
                && let Some(oldest) = logged.order.pop_front()
            {
                logged.of_events.remove(&oldest);
            }
            logged.order.push_back(id.clone());
        }
        let deliveries = logged.of_events.entry(id.clone()).or_default();
        if deliveries.len() >= DELIVERIES_MAX {
            deliveries.pop_front();
        }
        deliveries.push_back(delivery);
    }

    fn of_event(&self, id: &EventId) -> Vec<ShopDelivery> {
        self.locked().of_events.get(id).into_iter().flatten().cloned().collect()
    }

    fn locked(&self) -> MutexGuard<'_, LoggedDeliveries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The shop's events as the cashier page shows them.
#[derive(Debug)]
pub(super) struct EngineEvents {
    pub(super) reader: EventReader,
    pub(super) deliveries: Arc<DeliveryLog>,
    pub(super) has_webhook: bool,
}

impl ShopEvents for EngineEvents {
    fn of_payment<'a>(
        &'a self,
        provider: ProviderId,
        transaction_id: &'a TransactionId,
    ) -> BoxFuture<'a, Result<Vec<ShopEvent>, String>> {
        Box::pin(async move {
            let events = self.reader.events_of_payment(provider, transaction_id).await;
            let events = events.map_err(|error| error.to_string())?;
            let shown = events.into_iter().map(|event| ShopEvent {
                deliveries: self.deliveries.of_event(&event.id),
                id: event.id,
                event: event.event,
                out_trade_no: event.out_trade_no.as_str().to_owned(),
                created_at: event.created_at,
                state: event.state,
                tries: event.tries,
                next_at: event.next_at,
            });
            Ok(shown.collect())
        })
    }

    fn has_webhook(&self) -> bool {
        self.has_webhook
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_keeps_the_last_deliveries_of_the_last_events() {
        let log = DeliveryLog::default();
        let id = |n: usize| EventId::parse(&format!("evt_{n:032x}")).unwrap();
        let delivery = |at| ShopDelivery { at: Millis(at), refusal: None };
        for n in 0..=EVENTS_MAX {
            log.add(&id(n), delivery(0));
        }
        assert!(log.of_event(&id(0)).is_empty(), "the oldest event was dropped");
        assert_eq!(log.of_event(&id(1)), [delivery(0)]);
        for at in 1..=40 {
            log.add(&id(1), delivery(at));
        }
        let kept = log.of_event(&id(1));
        assert_eq!((kept.len(), &kept[0]), (DELIVERIES_MAX, &delivery(9)));
    }
}
