//! From paid to told: notifications, the outbox, and where an order stands.
#![cfg(all(feature = "mock", feature = "wxpay", feature = "alipay"))]

mod notified;
mod queried;
mod told;

use std::sync::{Arc, Mutex};

use paygate::domain::channel::ProviderId;
use paygate::domain::outbox::Outgoing;
use paygate::domain::time::Millis;
use paygate::engine::Deliver;
use paygate::store::BoxFuture;
use serde_json::{Value, json};

use crate::support::shop::{Shop, body, with};

const NO: &str = "order-0001";
const MINUTE: i64 = 60_000;

/// A QR code at a PC, with something of the shop's own.
fn qr(provider: ProviderId) -> Value {
    let custom = json!({"coupon": "spring", "lines": [1, 2]});
    with(body(provider, NO, 100), "/data/custom", custom)
}

/// A shop's endpoint that writes down what it is told.
#[derive(Clone, Debug, Default)]
struct Ear {
    heard: Arc<Mutex<Vec<Outgoing>>>,
    /// How many more times it refuses.
    refusals: Arc<Mutex<usize>>,
}

impl Ear {
    /// It refuses so many events before it accepts one.
    fn refuse(&self, times: usize) {
        *self.refusals.lock().unwrap() = times;
    }

    fn heard(&self) -> Vec<Outgoing> {
        self.heard.lock().unwrap().clone()
    }

    /// The types of what it accepted or refused, in order.
    fn events(&self) -> Vec<&'static str> {
        self.heard().iter().map(|it| it.event.name()).collect()
    }
}

impl Deliver for Ear {
    fn deliver<'a>(&'a self, event: &'a Outgoing, _: Millis) -> BoxFuture<'a, Result<(), String>> {
        self.heard.lock().unwrap().push(event.clone());
        let mut refusals = self.refusals.lock().unwrap();
        let refused = *refusals > 0;
        *refusals = refusals.saturating_sub(1);
        let answer = if refused { Err("HTTP 500".to_owned()) } else { Ok(()) };
        Box::pin(async move { answer })
    }
}

/// A shop with an endpoint.
async fn open() -> (Shop, Ear) {
    let ear = Ear::default();
    let shop = Shop::open_as(|it| it.webhook(ear.clone())).await;
    (shop, ear)
}
