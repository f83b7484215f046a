//! A webhook of the shop that records the events it gets.
#![cfg(feature = "mock")]

use std::sync::{Arc, Mutex};

use paygate::domain::event::OutboxEvent;
use paygate::domain::time::Millis;
use paygate::engine::{Builder, Deliver};
use paygate::store::BoxFuture;

use super::shop::Shop;

/// A shop's endpoint that writes down what it is told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ear {
    heard: Arc<Mutex<Vec<OutboxEvent>>>,
    /// How many more times it refuses.
    refusals: Arc<Mutex<usize>>,
}

impl Ear {
    /// It refuses so many events before it accepts one.
    pub(crate) fn refuse(&self, times: usize) {
        *self.refusals.lock().unwrap() = times;
    }

    pub(crate) fn heard(&self) -> Vec<OutboxEvent> {
        self.heard.lock().unwrap().clone()
    }

    /// The types of what it accepted or refused, in order.
    pub(crate) fn events(&self) -> Vec<&'static str> {
        self.heard().iter().map(|it| it.event.name()).collect()
    }
}

impl Deliver for Ear {
    fn deliver<'a>(
        &'a self,
        event: &'a OutboxEvent,
        _: Millis,
    ) -> BoxFuture<'a, Result<(), String>> {
        self.heard.lock().unwrap().push(event.clone());
        let mut refusals = self.refusals.lock().unwrap();
        let refused = *refusals > 0;
        *refusals = refusals.saturating_sub(1);
        let answer = if refused { Err("HTTP 500".to_owned()) } else { Ok(()) };
        Box::pin(async move { answer })
    }
}

/// A shop with an endpoint.
pub(crate) async fn open() -> (Shop, Ear) {
    open_as(|it| it).await
}

/// The same, with a word on the engine.
pub(crate) async fn open_as(more: impl FnOnce(Builder) -> Builder) -> (Shop, Ear) {
    let ear = Ear::default();
    let shop = Shop::open_as(|it| more(it.webhook(ear.clone()))).await;
    (shop, ear)
}
