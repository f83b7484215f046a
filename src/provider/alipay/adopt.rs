//! A payment that no attempt here was opened for: what calls about it need.

use serde_json::{Value, json};

use super::Merchant;
use crate::domain::channel::{PayType, PaymentMethod, Product};
use crate::domain::ids::ChannelNo;
use crate::domain::order::attempt::{Account, ApiVersion, Params};
use crate::provider::{AdoptedAttempt, PaidTrade};

/// What an attempt of `trade` holds, which was paid under `no` in an app of `merchant`'s.
///
/// A notification names the app. The answer to a query does not: it is of the app that asked, which
/// is known where the merchant has one only.
pub(super) fn adopted(
    merchant: &Merchant,
    no: &ChannelNo,
    trade: &PaidTrade,
    notify_url: &str,
) -> Option<AdoptedAttempt> {
    let text = |name| trade.message.get(name).and_then(Value::as_str).filter(|it| !it.is_empty());
    if text("out_trade_no") != Some(no.as_str()) {
        return None;
    }
    let app_id = text("app_id").or_else(|| only_app(merchant))?;
    // Calls about another merchant's trade need the token that it gave the shop.
    if text("auth_app_id").is_some_and(|it| it != app_id) {
        return None;
    }
    let pay_type = *merchant.apps.iter().find(|(_, app)| app.app_id == app_id)?.0;
    let product = usual(pay_type)?;
    let document =
        json!({ "out_trade_no": no.as_str(), "total_amount": trade.total_fee.to_yuan() });
    Some(AdoptedAttempt {
        method: PaymentMethod {
            pay_type,
            product,
            app_id: app_id.to_owned(),
            openid: trade.openid.clone().filter(|_| product.needs_openid()),
            address: None,
        },
        account: Account { number: app_id.to_owned(), partner: None, version: ApiVersion::Alipay },
        params: Params {
            document: document.to_string(),
            notify_url: notify_url.to_owned(),
            return_url: None,
            app_auth_token: None,
        },
    })
}

/// The merchant's app, where it has one for all its pay types.
fn only_app(merchant: &Merchant) -> Option<&str> {
    let mut ids = merchant.apps.values().map(|app| app.app_id.as_str());
    let first = ids.next()?;
    ids.all(|it| it == first).then_some(first)
}

/// A product that a pay type is paid by: no message tells which it was.
fn usual(pay_type: PayType) -> Option<Product> {
    match pay_type {
        PayType::AlipayMpAlipay => Some(Product::Create),
        PayType::AlipayAppPlus => Some(Product::AppPay),
        PayType::AlipayH5 => Some(Product::Precreate),
        PayType::WxpayMpWeixin
        | PayType::WxpayAppPlus
        | PayType::WxpayH5
        | PayType::WxpayH5Weixin
        | PayType::WxpayMweb => None,
    }
}
