//! From paid to told: notifications, the outbox, and where an order stands.
#![cfg(all(feature = "mock", feature = "wxpay", feature = "alipay"))]

mod disputed;
mod notified;
mod queried;
mod told;

use paygate::domain::channel::ProviderId;
use serde_json::{Value, json};

use crate::support::ear::Ear;
use crate::support::shop::{Shop, body, with};

const NO: &str = "order-0001";
const MINUTE: i64 = 60_000;

/// A QR code at a PC, with something of the shop's own.
fn qr(provider: ProviderId) -> Value {
    let custom = json!({"coupon": "spring", "lines": [1, 2]});
    with(body(provider, NO, 100), "/data/custom", custom)
}

/// A shop with an endpoint.
async fn open() -> (Shop, Ear) {
    let ear = Ear::default();
    let shop = Shop::open_as(|it| it.webhook(ear.clone())).await;
    (shop, ear)
}
