//! Requests for one order, and what is in the client's hands afterwards.
#![cfg(all(feature = "mock", feature = "wxpay", feature = "alipay"))]

use paygate::domain::ProviderId;
use paygate::engine::Created;
use paygate::mock::{FaultKind, Refuse};
use serde_json::{Value, json};

use super::shop::{body, with};

/// The order's number in these tests.
pub(crate) const NO: &str = "order-0001";
pub(crate) const MINUTE: i64 = 60_000;

/// A QR code at a PC.
pub(crate) fn qr(provider: ProviderId) -> Value {
    body(provider, NO, 100)
}

/// The same, with something of the shop's own.
pub(crate) fn qr_with_custom(provider: ProviderId) -> Value {
    let custom = json!({"coupon": "spring", "lines": [1, 2]});
    with(qr(provider), "/data/custom", custom)
}

/// The same order in an app.
pub(crate) fn app(provider: ProviderId) -> Value {
    with(qr(provider), "/context/PLATFORM", json!("app"))
}

/// The same order in the provider's own mini program.
pub(crate) fn mini(provider: ProviderId, openid: &str) -> Value {
    let platform = match provider {
        ProviderId::Wxpay => "mp-weixin",
        ProviderId::Alipay => "mp-alipay",
    };
    let asked = with(qr(provider), "/context/PLATFORM", json!(platform));
    with(asked, "/data/openid", json!(openid))
}

/// The same order in a phone's browser.
pub(crate) fn phone() -> Value {
    with(qr(ProviderId::Wxpay), "/isPC", json!(false))
}

pub(crate) fn refuse(code: &str, message: &str) -> FaultKind {
    let (code, message) = (code.to_owned(), message.to_owned());
    FaultKind::Refuse(Refuse { code, message, status: None })
}

/// What the buyer pays with, without what is signed anew.
pub(crate) fn material(created: &Created) -> String {
    let info: Value = serde_json::from_str(created.order_info.get()).unwrap();
    let found = ["codeUrl", "package", "prepayid", "h5Url", "payUrl"];
    let text = found.iter().find_map(|key| info[*key].as_str());
    text.or(info.as_str()).unwrap().to_owned()
}
