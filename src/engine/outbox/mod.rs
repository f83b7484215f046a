//! The outbox: every event is sent to the shop until it is accepted, and survives any crash.

pub(super) mod payload;

use std::collections::HashMap;
use std::fmt::{self, Debug, Display};
use std::future::Future;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Notify;
use tokio::task::{Id, JoinError, JoinSet};

use super::{Engine, Inner};
use crate::domain::event::{DeliveryState, EventId, EventType, OutboxEvent};
use crate::domain::ids::OutTradeNo;
use crate::domain::time::{DAY_MS, HOUR_MS, Millis, SECOND_MS};
use crate::error::{Error, Kind};
use crate::provider::BoxFuture;
use crate::store::Settled;

/// Events that are on their way at once.
const AT_ONCE: usize = 64;

/// Events that one look takes.
const ROUND_MAX: usize = 1024;

/// How often the outbox is looked at when nothing wakes it.
const LOOK: Duration = Duration::from_secs(1);

/// Brings events to the shop.
pub trait Deliver: Send + Sync + Debug {
    /// Sends `event` at `now`. It may have been sent before.
    ///
    /// # Errors
    ///
    /// Why the shop did not accept it, for the operator: it is sent again.
    fn deliver<'a>(
        &'a self,
        event: &'a OutboxEvent,
        now: Millis,
    ) -> BoxFuture<'a, Result<(), String>>;
}

/// An event as a handler gets it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OrderEvent {
    /// Its number: the same when it is told again.
    pub id: EventId,
    /// What happened.
    pub event: EventType,
    /// The order.
    pub out_trade_no: OutTradeNo,
    /// The whole event, as a webhook would get it.
    pub body: Value,
}

/// What a handler may return: nothing, or a result whose error has the event told again.
pub trait Handled {
    /// Why the event is to be told again.
    ///
    /// # Errors
    ///
    /// The handler's.
    fn into_result(self) -> Result<(), String>;
}

impl Handled for () {
    fn into_result(self) -> Result<(), String> {
        Ok(())
    }
}

impl<E: Display> Handled for Result<(), E> {
    fn into_result(self) -> Result<(), String> {
        self.map_err(|error| error.to_string())
    }
}

type Handler = Arc<dyn Fn(OrderEvent) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// Who is told, and that there is something to tell.
#[derive(Default)]
pub(super) struct Outbox {
    webhook: Option<Arc<dyn Deliver>>,
    handlers: RwLock<HashMap<(EventType, String), Handler>>,
    woken: Notify,
}

impl Outbox {
    pub(super) fn set_webhook(&mut self, webhook: Arc<dyn Deliver>) {
        self.webhook = Some(webhook);
    }

    pub(super) fn on<H, F>(&self, event: EventType, kind: &str, handler: H)
    where
        H: Fn(OrderEvent) -> F + Send + Sync + 'static,
        F: Future<Output: Handled> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |event| {
            let handled = handler(event);
            Box::pin(async move { handled.await.into_result() })
        });
        let mut handlers = self.handlers.write().unwrap_or_else(PoisonError::into_inner);
        handlers.insert((event, kind.to_owned()), handler);
    }

    /// Whether somebody is told of the payments of orders of this type.
    pub(super) fn has_listener(&self, kind: &str) -> bool {
        self.webhook.is_some() || self.handler(EventType::PaymentSucceeded, kind).is_some()
    }

    /// There is something to tell.
    pub(super) fn wake(&self) {
        self.woken.notify_one();
    }

    fn handler(&self, event: EventType, kind: &str) -> Option<Handler> {
        let handlers = self.handlers.read().unwrap_or_else(PoisonError::into_inner);
        handlers.get(&(event, kind.to_owned())).cloned()
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").field("webhook", &self.webhook).finish_non_exhaustive()
    }
}

impl Engine {
    /// Calls `handler` with every event of this type about orders of type `kind`, in place of the
    /// webhook, until it returns without an error. It may be called again with the same event: by
    /// its number it is the same.
    pub fn on<H, F>(&self, event: EventType, kind: &str, handler: H)
    where
        H: Fn(OrderEvent) -> F + Send + Sync + 'static,
        F: Future<Output: Handled> + Send + 'static,
    {
        self.0.outbox.on(event, kind, handler);
    }

    /// Tells the shop once what is due, and waits for its answers: what the background does all
    /// the time. Returns how many events were sent.
    pub async fn dispatch(&self) -> usize {
        let due = self.0.events_due(ROUND_MAX).await;
        let sent = due.len();
        let mut running = Running::default();
        for event in due {
            running.start(&self.0, event);
            if running.events.len() == AT_ONCE {
                running.end_one(&self.0).await;
            }
        }
        while !running.events.is_empty() {
            running.end_one(&self.0).await;
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
        let listed = self.0.store.outbox_list(state, limit).await;
        listed.map_err(|error| super::create::unreachable_store(&error))
    }

    /// Sends an event again from the beginning, whatever became of it.
    ///
    /// # Errors
    ///
    /// [`Kind::NotFound`] for an unknown number, [`Kind::NotSent`] when the store failed.
    pub async fn retry_event(&self, id: &EventId) -> Result<(), Error> {
        let unreachable = |error| super::create::unreachable_store(&error);
        let found = self.0.store.outbox_find(id).await.map_err(unreachable)?;
        let event = found.ok_or_else(|| Error::new(Kind::NotFound))?;
        let now = self.0.clock.now();
        let again = OutboxEvent { state: DeliveryState::Pending, tries: 0, next_at: now, ..event };
        match self.0.store.outbox_set(&again).await.map_err(unreachable)? {
            Settled::Done => {
                self.0.outbox.wake();
                Ok(())
            }
            Settled::Missing => Err(Error::new(Kind::NotFound)),
            Settled::Lost => Err(Error::new(Kind::NotSent)),
        }
    }
}

impl Inner {
    /// Brings what is due to the shop until the engine is shut down or dropped.
    pub(super) fn deliver_all(self: &Arc<Self>) {
        let engine = Arc::downgrade(self);
        let mut stopping = self.stopping.subscribe();
        self.tasks.spawn(async move {
            let mut running = Running::default();
            loop {
                let Some(engine) = engine.upgrade() else { return };
                if *stopping.borrow() {
                    while !running.tasks.is_empty() {
                        running.end_one(&engine).await;
                    }
                    return;
                }
                running.begin(&engine).await;
                let ended = tokio::select! {
                    Some(ended) = running.tasks.join_next_with_id() => Some(ended),
                    () = engine.outbox.woken.notified() => None,
                    () = tokio::time::sleep(LOOK) => None,
                    _ = stopping.changed() => None,
                };
                // What the shop said is recorded whatever else happens meanwhile.
                if let Some(ended) = ended {
                    running.settle(&engine, ended).await;
                }
            }
        });
    }

    async fn events_due(&self, limit: usize) -> Vec<OutboxEvent> {
        let due = self.store.outbox_due(self.clock.now(), limit).await;
        due.unwrap_or_else(|error| {
            tracing::warn!(%error, "the store could not tell which events are due");
            Vec::new()
        })
    }

    async fn deliver(&self, event: &OutboxEvent) -> Result<(), Undelivered> {
        if let Some(handler) = self.outbox.handler(event.event, &event.kind) {
            let body = serde_json::from_str(&event.body)
                .map_err(|_| Undelivered::Refused("the event's body is ill".to_owned()))?;
            let told = OrderEvent {
                id: event.id.clone(),
                event: event.event,
                out_trade_no: event.out_trade_no.clone(),
                body,
            };
            return handler(told).await.map_err(Undelivered::Refused);
        }
        match &self.outbox.webhook {
            Some(webhook) => {
                let delivered = webhook.deliver(event, self.clock.now()).await;
                delivered.map_err(Undelivered::Refused)
            }
            None => Err(Undelivered::Nobody),
        }
    }

    /// Makes durable what became of a sending.
    async fn settle(&self, event: OutboxEvent, delivered: Result<(), Undelivered>) {
        let now = self.clock.now();
        let tries = event.tries.saturating_add(1);
        let (state, next) = match &delivered {
            Ok(()) => (DeliveryState::Accepted, now),
            Err(Undelivered::Nobody) => (DeliveryState::Parked, now),
            Err(Undelivered::Refused(_)) if now.since(event.created_at) >= GIVE_UP_MS => {
                (DeliveryState::Parked, now)
            }
            Err(Undelivered::Refused(_)) => {
                (DeliveryState::Pending, now.plus(wait_ms(tries, &event.id)))
            }
        };
        if let Err(why) = &delivered {
            let (id, out_trade_no) = (&event.id, &event.out_trade_no);
            let state = state.name();
            tracing::warn!(%id, %out_trade_no, tries, state, %why, "an event was not accepted");
        }
        let settled = OutboxEvent { state, tries, next_at: next, ..event };
        match self.store.outbox_set(&settled).await {
            Ok(Settled::Done) => self.waiters.tell(&settled.out_trade_no),
            // It is told again, by its number the same; but a shop is not told all the time because
            // a disk is full.
            Ok(Settled::Missing | Settled::Lost) => {
                tracing::error!(id = %settled.id, "the store has another owner: restart paygate");
                tokio::time::sleep(LOOK).await;
            }
            Err(error) => {
                tracing::error!(%error, "the outbox could not be written");
                tokio::time::sleep(LOOK).await;
            }
        }
    }
}

/// Why an event is not accepted.
enum Undelivered {
    /// There is neither a handler nor a webhook.
    Nobody,
    /// The shop said so, or was not reached.
    Refused(String),
}

impl Display for Undelivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Undelivered::Nobody => f.write_str("there is neither a webhook nor a handler"),
            Undelivered::Refused(why) => f.write_str(why),
        }
    }
}

/// A sending that came to an end, or panicked.
type Ended = Result<(Id, Result<(), Undelivered>), JoinError>;

/// The events that are on their way.
#[derive(Default)]
struct Running {
    tasks: JoinSet<Result<(), Undelivered>>,
    events: HashMap<Id, OutboxEvent>,
}

impl Running {
    /// Sends what is due, as long as not too many are on their way.
    async fn begin(&mut self, engine: &Arc<Inner>) {
        if self.events.len() >= AT_ONCE {
            return;
        }
        // Those on their way are due as well, until they are settled.
        for event in engine.events_due(AT_ONCE).await {
            let is_new = !self.events.values().any(|it| it.id == event.id);
            if is_new && self.events.len() < AT_ONCE {
                self.start(engine, event);
            }
        }
    }

    fn start(&mut self, engine: &Arc<Inner>, event: OutboxEvent) {
        let (engine, sent) = (engine.clone(), event.clone());
        let task = self.tasks.spawn(async move { engine.deliver(&sent).await });
        self.events.insert(task.id(), event);
    }

    /// Waits for one of them, and records what became of it.
    async fn end_one(&mut self, engine: &Inner) {
        if let Some(ended) = self.tasks.join_next_with_id().await {
            self.settle(engine, ended).await;
        }
    }

    async fn settle(&mut self, engine: &Inner, ended: Ended) {
        let (id, delivered) = match ended {
            Ok((id, delivered)) => (id, delivered),
            Err(panicked) => {
                let why = "the handler panicked".to_owned();
                (panicked.id(), Err(Undelivered::Refused(why)))
            }
        };
        if let Some(event) = self.events.remove(&id) {
            engine.settle(event, delivered).await;
        }
    }
}

/// An event that was refused for so long is parked.
const GIVE_UP_MS: i64 = DAY_MS + HOUR_MS;

/// How long after its `tries`-th sending an event is sent again: 4 s, then twice as long each
/// time, up to an hour; give or take a fifth, so that a shop that comes back is not run over.
fn wait_ms(tries: u32, id: &EventId) -> i64 {
    let doublings = tries.saturating_sub(1).min(10);
    let wait = ((4 * SECOND_MS) << doublings).min(HOUR_MS);
    let spread = id.as_str().bytes().chain(tries.to_be_bytes());
    let hash = spread.fold(0_i64, |hash, byte| (hash * 31 + i64::from(byte)) % 401);
    wait * (800 + hash) / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_sent_again_within_5_s_then_twice_as_long_up_to_an_hour_for_a_day() {
        let id = EventId::parse(&format!("evt_{}", "0a".repeat(16))).unwrap();
        let waits: Vec<i64> = (1..=40).map(|tries| wait_ms(tries, &id)).collect();
        assert!((1..=5_000).contains(&waits[0]));
        for (n, wait) in waits.iter().enumerate() {
            let middle = (4_000_i64 << n.min(20)).min(HOUR_MS);
            let range = middle * 8 / 10..=middle * 12 / 10;
            assert!(range.contains(wait), "{n}: {wait} of {middle}");
        }
        let spread: std::collections::BTreeSet<i64> = waits[15..].iter().copied().collect();
        assert!(spread.len() > 5, "no two shops are in step");
    }
}
