//! The receivers of the shop's events: handlers in this process, and the webhook.

use std::collections::HashMap;
use std::fmt::{self, Debug, Display};
use std::future::Future;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::Notify;

use super::order_event::OrderEvent;
use crate::domain::event::{EventType, OutboxEvent};
use crate::domain::time::Millis;
use crate::provider::BoxFuture;

/// Sends events to the shop.
pub trait Deliver: Send + Sync + Debug {
    /// Sends `event` at `now`. It may have been sent before.
    ///
    /// # Errors
    ///
    /// Why the shop did not accept it, for the operator: paygate sends it again.
    fn deliver<'a>(
        &'a self,
        event: &'a OutboxEvent,
        now: Millis,
    ) -> BoxFuture<'a, Result<(), String>>;
}

/// What a handler may return: nothing, or a result whose error makes paygate call it again.
pub trait Handled {
    /// Why paygate is to call the handler again.
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

/// The receivers of events, and the signal that there is one to send.
#[derive(Default)]
pub(in crate::engine) struct Outbox {
    pub(super) webhook: Option<Arc<dyn Deliver>>,
    /// By the type of the event and of the order; without the latter for every order.
    handlers: RwLock<HashMap<(EventType, Option<String>), Handler>>,
    woken: Notify,
}

impl Outbox {
    pub(in crate::engine) fn set_webhook(&mut self, webhook: Arc<dyn Deliver>) {
        self.webhook = Some(webhook);
    }

    pub(in crate::engine) fn on<H, F>(&self, event: EventType, kind: Option<&str>, handler: H)
    where
        H: Fn(OrderEvent) -> F + Send + Sync + 'static,
        F: Future<Output: Handled> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |event| {
            let handled = handler(event);
            Box::pin(async move { handled.await.into_result() })
        });
        let mut handlers = self.handlers.write().unwrap_or_else(PoisonError::into_inner);
        handlers.insert((event, kind.map(str::to_owned)), handler);
    }

    /// Whether the payments of orders of this type have a receiver.
    pub(in crate::engine) fn has_listener(&self, kind: &str) -> bool {
        self.webhook.is_some() || self.handler(EventType::PaymentSucceeded, kind).is_some()
    }

    /// Signals that there is an event to send.
    pub(in crate::engine) fn wake(&self) {
        self.woken.notify_one();
    }

    /// Returns when there is an event to send.
    pub(super) async fn woken(&self) {
        self.woken.notified().await;
    }

    pub(super) fn handler(&self, event: EventType, kind: &str) -> Option<Handler> {
        let handlers = self.handlers.read().unwrap_or_else(PoisonError::into_inner);
        let own = handlers.get(&(event, Some(kind.to_owned())));
        own.or_else(|| handlers.get(&(event, None))).cloned()
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").field("webhook", &self.webhook).finish_non_exhaustive()
    }
}
