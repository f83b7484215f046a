//! An order is paid once: what becomes of unknown outcomes, expiry and changes of the way to pay.
#![cfg(all(feature = "mock", feature = "wxpay", feature = "alipay"))]

mod expiry;
mod outage;
mod outcomes;
mod switching;
mod watching;

use paygate::domain::channel::ProviderId;
use paygate::engine::Created;
use paygate::mock::{FaultKind, Refuse};
use serde_json::{Value, json};

use crate::support::shop::{body, with};

/// The order's number in these tests.
const NO: &str = "order-0001";

/// A QR code at a PC.
fn qr(provider: ProviderId) -> Value {
    body(provider, NO, 100)
}

/// The same order in an app.
fn app(provider: ProviderId) -> Value {
    with(qr(provider), "/context/PLATFORM", json!("app"))
}

/// The same order in the provider's own mini program.
fn mini(provider: ProviderId, openid: &str) -> Value {
    let platform = match provider {
        ProviderId::Wxpay => "mp-weixin",
        ProviderId::Alipay => "mp-alipay",
    };
    let asked = with(qr(provider), "/context/PLATFORM", json!(platform));
    with(asked, "/data/openid", json!(openid))
}

/// The same order in a phone's browser.
fn phone() -> Value {
    with(qr(ProviderId::Wxpay), "/isPC", json!(false))
}

fn refuse(code: &str, message: &str) -> FaultKind {
    let (code, message) = (code.to_owned(), message.to_owned());
    FaultKind::Refuse(Refuse { code, message, status: None })
}

/// What the buyer pays with, without what is signed anew.
fn material(created: &Created) -> String {
    let info: Value = serde_json::from_str(created.order_info.get()).unwrap();
    let found = ["codeUrl", "package", "prepayid", "h5Url", "payUrl"];
    let text = found.iter().find_map(|key| info[*key].as_str());
    text.or(info.as_str()).unwrap().to_owned()
}
