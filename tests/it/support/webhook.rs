//! A webhook of the shop that records the events it gets.
#![cfg(feature = "mock")]

use std::sync::{Arc, Mutex};

use paygate::domain::{Millis, OutboxEvent};
use paygate::engine::{Builder, Deliver};
use paygate::store::BoxFuture;

use super::shop::Shop;

/// A shop's endpoint that writes down what it is told.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecordingWebhook {
    received: Arc<Mutex<Vec<OutboxEvent>>>,
    /// How many more times it refuses.
    refusals: Arc<Mutex<usize>>,
}

impl RecordingWebhook {
    /// It refuses so many events before it accepts one.
    pub(crate) fn refuse(&self, times: usize) {
        *self.refusals.lock().unwrap() = times;
    }

    pub(crate) fn received(&self) -> Vec<OutboxEvent> {
        self.received.lock().unwrap().clone()
    }

    /// The types of what it accepted or refused, in order.
    pub(crate) fn events(&self) -> Vec<&'static str> {
        self.received().iter().map(|it| it.event.name()).collect()
    }
}

impl Deliver for RecordingWebhook {
    fn deliver<'a>(
        &'a self,
        event: &'a OutboxEvent,
        _: Millis,
    ) -> BoxFuture<'a, Result<(), String>> {
        self.received.lock().unwrap().push(event.clone());
        let mut refusals = self.refusals.lock().unwrap();
        let refused = *refusals > 0;
        *refusals = refusals.saturating_sub(1);
        let answer = if refused { Err("HTTP 500".to_owned()) } else { Ok(()) };
        Box::pin(async move { answer })
    }
}

/// A shop with an endpoint.
pub(crate) async fn shop_with_webhook() -> (Shop, RecordingWebhook) {
    shop_with_webhook_and(|it| it).await
}

/// The same, with a word on the engine.
pub(crate) async fn shop_with_webhook_and(
    more: impl FnOnce(Builder) -> Builder,
) -> (Shop, RecordingWebhook) {
    let webhook = RecordingWebhook::default();
    let shop = Shop::open_as(|it| more(it.webhook(webhook.clone()))).await;
    (shop, webhook)
}
