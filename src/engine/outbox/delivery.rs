//! Sends the events that are due to their receivers, many at once, in the background.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};

use super::listeners::Handled;
use super::order_event::OrderEvent;
use super::settle::Undelivered;
use crate::domain::event::{DeliveryState, EventId, EventType, OutboxEvent};
use crate::engine::failures::store_unreachable;
use crate::engine::parts::{Engine, EngineParts};
use crate::error::{Error, Kind, Text};
use crate::store::EventUpdate;

/// The most events of one receiver that are on their way at once.
const AT_ONCE: usize = 64;

/// The most events of all receivers that are on their way at once, but for each receiver's share.
const AT_ONCE_IN_ALL: usize = 256;

/// So many events of a receiver may be on their way whatever the others do: however many receivers
/// hang, each other one gets its events.
const SHARE: usize = 4;

/// The most events of one receiver that one dispatch takes.
const ROUND_MAX: usize = 1024;

/// How often the background looks into the outbox when nothing wakes it.
const LOOK: Duration = Duration::from_secs(1);

impl Engine {
    /// Calls `handler` with every event of this type about orders of type `kind`, in place of the
    /// webhook, until it returns without an error. It may be called again with the same event: by
    /// its number it is the same.
    pub fn on<H, F>(&self, event: EventType, kind: &str, handler: H)
    where
        H: Fn(OrderEvent) -> F + Send + Sync + 'static,
        F: Future<Output: Handled> + Send + 'static,
    {
        self.0.outbox.on(event, Some(kind), handler);
    }

    /// Calls `handler` as [`Engine::on`] does, about orders of every type that has no handler of
    /// its own.
    pub fn on_any<H, F>(&self, event: EventType, handler: H)
    where
        H: Fn(OrderEvent) -> F + Send + Sync + 'static,
        F: Future<Output: Handled> + Send + 'static,
    {
        self.0.outbox.on(event, None, handler);
    }

    /// Sends every event that is due once, and waits for the answers: what the background does all
    /// the time. Returns the number of events.
    pub async fn dispatch(&self) -> usize {
        let Ok(_operation) = self.begin_operation() else { return 0 };
        let due = self.0.events_due(ROUND_MAX).await;
        let sent = due.len();
        let mut deliveries = Deliveries::default();
        for event in due {
            while !deliveries.has_room(&event) {
                deliveries.settle_one(&self.0).await;
            }
            deliveries.start(&self.0, event);
        }
        while !deliveries.events.is_empty() {
            deliveries.settle_one(&self.0).await;
        }
        sent
    }

    /// At most `limit` events in `state`, in the order of their next sending.
    ///
    /// # Errors
    ///
    /// [`Kind::NotSent`] when the store cannot tell.
    pub async fn events(
        &self,
        state: DeliveryState,
        limit: usize,
    ) -> Result<Vec<OutboxEvent>, Error> {
        let _operation = self.begin_operation()?;
        let listed = self.0.store.outbox_list(state, limit).await;
        listed.map_err(|error| store_unreachable(&error))
    }

    /// Sends an event again, with its whole retry schedule, whatever state it is in.
    ///
    /// # Errors
    ///
    /// [`Kind::NotFound`] for an unknown number, [`Kind::NotSent`] when the store failed.
    pub async fn retry_event(&self, id: &EventId) -> Result<(), Error> {
        let _operation = self.begin_operation()?;
        let unreachable = |error| store_unreachable(&error);
        let found = self.0.store.outbox_find(id).await.map_err(unreachable)?;
        let event = found.ok_or_else(no_such_event)?;
        let now = self.0.clock.now();
        let again = OutboxEvent { state: DeliveryState::Pending, tries: 0, next_at: now, ..event };
        match self.0.store.outbox_set(&again).await.map_err(unreachable)? {
            EventUpdate::Done => {
                let (event, out_trade_no) = (again.event.name(), &again.out_trade_no);
                tracing::info!(%id, event, %out_trade_no, "an operator sends an event again");
                self.0.outbox.wake();
                Ok(())
            }
            EventUpdate::Missing => Err(no_such_event()),
            EventUpdate::Lost => Err(Error::new(Kind::NotSent)),
        }
    }
}

/// 404, about the event and not about the path.
pub(crate) fn no_such_event() -> Error {
    Error::new(Kind::NotFound).text(Text::new("没有该 id 的事件", "there is no event with this id"))
}

impl EngineParts {
    /// Sends the events that are due until the engine is shut down or dropped.
    pub(in crate::engine) fn deliver_events(self: &Arc<Self>) {
        let engine = Arc::downgrade(self);
        let mut stopping = self.stopping.subscribe();
        self.tasks.spawn(async move {
            let mut deliveries = Deliveries::default();
            loop {
                let Some(engine) = engine.upgrade() else { return };
                if *stopping.borrow() {
                    while !deliveries.tasks.is_empty() {
                        deliveries.settle_one(&engine).await;
                    }
                    return;
                }
                deliveries.start_due(&engine).await;
                let ended = tokio::select! {
                    Some(ended) = deliveries.tasks.join_next_with_id() => Some(ended),
                    () = engine.outbox.woken() => None,
                    () = tokio::time::sleep(LOOK) => None,
                    _ = stopping.changed() => None,
                };
                // The answer is recorded whatever else happens meanwhile.
                if let Some(ended) = ended {
                    deliveries.settle(&engine, ended).await;
                }
            }
        });
    }

    async fn events_due(&self, limit: usize) -> Vec<OutboxEvent> {
        let due = self.store.outbox_due(self.clock.now(), limit).await;
        due.unwrap_or_else(|error| {
            if let Some(count) = self.unlisted.count(self.clock.now()) {
                tracing::error!(%error, count, "the store did not list the events that are due");
            }
            Vec::new()
        })
    }

    async fn deliver(&self, event: &OutboxEvent) -> Result<(), Undelivered> {
        if let Some(handler) = self.outbox.handler(event.event, &event.kind) {
            let order_event = OrderEvent::try_from(event)
                .map_err(|error| Undelivered::Failed(error.to_string()))?;
            return handler(order_event).await.map_err(Undelivered::Failed);
        }
        match &self.outbox.webhook {
            Some(webhook) => {
                let delivered = webhook.deliver(event, self.clock.now());
                tokio::select! {
                    biased;
                    delivered = delivered => delivered.map_err(Undelivered::Failed),
                    () = self.cut_off() => Err(Undelivered::CutOff),
                }
            }
            None => Err(Undelivered::NoReceiver),
        }
    }
}

/// How a delivery ended; a handler may panic.
type Delivered = Result<(Id, Result<(), Undelivered>), JoinError>;

/// A receiver: a handler has one type of event and of order, and a webhook's URL may have a type of
/// order. So a webhook whose URL has none is counted as several.
type Receiver = (EventType, String);

fn receiver(event: &OutboxEvent) -> Receiver {
    (event.event, event.kind.clone())
}

/// The events that are on their way.
#[derive(Default)]
struct Deliveries {
    tasks: JoinSet<Result<(), Undelivered>>,
    events: HashMap<Id, OutboxEvent>,
    by_receiver: HashMap<Receiver, usize>,
}

impl Deliveries {
    /// Starts the events that are due, as far as there is room.
    async fn start_due(&mut self, engine: &Arc<EngineParts>) {
        let due = engine.events_due(AT_ONCE).await;
        // The store lists those on their way as well, until they are settled.
        let sent: HashSet<EventId> = self.events.values().map(|event| event.id.clone()).collect();
        for event in due {
            if !sent.contains(&event.id) && self.has_room(&event) {
                self.start(engine, event);
            }
        }
    }

    /// Whether another event of the receiver of `event` may be sent meanwhile.
    fn has_room(&self, event: &OutboxEvent) -> bool {
        let count = self.by_receiver.get(&receiver(event)).copied().unwrap_or_default();
        count < SHARE || (count < AT_ONCE && self.events.len() < AT_ONCE_IN_ALL)
    }

    fn start(&mut self, engine: &Arc<EngineParts>, event: OutboxEvent) {
        let (engine, sent) = (engine.clone(), event.clone());
        let task = self.tasks.spawn(async move { engine.deliver(&sent).await });
        let count = self.by_receiver.entry(receiver(&event)).or_default();
        *count = count.saturating_add(1);
        self.events.insert(task.id(), event);
    }

    /// Takes an event whose delivery ended.
    fn remove(&mut self, id: Id) -> Option<OutboxEvent> {
        let event = self.events.remove(&id)?;
        if let Entry::Occupied(mut count) = self.by_receiver.entry(receiver(&event)) {
            *count.get_mut() = count.get().saturating_sub(1);
            if *count.get() == 0 {
                count.remove();
            }
        }
        Some(event)
    }

    /// Waits for one of them, and settles it.
    async fn settle_one(&mut self, engine: &EngineParts) {
        if let Some(ended) = self.tasks.join_next_with_id().await {
            self.settle(engine, ended).await;
        }
    }

    async fn settle(&mut self, engine: &EngineParts, ended: Delivered) {
        let (id, delivered) = match ended {
            Ok((id, delivered)) => (id, delivered),
            Err(panicked) => {
                let why = "the handler panicked".to_owned();
                (panicked.id(), Err(Undelivered::Failed(why)))
            }
        };
        if let Some(event) = self.remove(id) {
            engine.settle(event, delivered).await;
        }
    }
}
