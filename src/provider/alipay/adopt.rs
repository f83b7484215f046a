//! Adopts a payment that none of our attempts made: it makes an attempt from the payment's message,
//! by which the engine can query, close and refund it.

use serde_json::{Value, json};

use super::AlipayMerchant;
use super::product::usual_product;
use crate::domain::channel::ApiVersion;
use crate::domain::ids::ChannelNo;
use crate::domain::order::attempt::{Account, Params};
use crate::domain::product::PaymentMethod;
use crate::provider::{AdoptedAttempt, PaidTrade};

/// The attempt that stands for `trade`, which was paid under `channel_no` in an app of
/// `merchant`'s.
///
/// A notification names the app. The reply to a query does not: it is about the app that made the
/// query, which is known where the merchant has one app only.
pub(super) fn adopt_trade(
    merchant: &AlipayMerchant,
    channel_no: &ChannelNo,
    trade: &PaidTrade,
    notify_url: &str,
) -> Option<AdoptedAttempt> {
    let text =
        |name| trade.message.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    if text("out_trade_no") != Some(channel_no.as_str()) {
        return None;
    }
    let app_id = text("app_id").or_else(|| only_app(merchant))?;
    // Calls about another merchant's trade need the token that the merchant gave the shop.
    if text("auth_app_id").is_some_and(|named| named != app_id) {
        return None;
    }
    let pay_type = *merchant.apps.iter().find(|(_, app)| app.app_id == app_id)?.0;
    let product = usual_product(pay_type)?;
    let document =
        json!({ "out_trade_no": channel_no.as_str(), "total_amount": trade.total_fee.to_yuan() });
    Some(AdoptedAttempt {
        method: PaymentMethod {
            pay_type,
            product,
            app_id: app_id.to_owned(),
            openid: trade.openid.clone().filter(|_| product.needs_openid()),
            client_ip: None,
        },
        account: Account {
            id: app_id.to_owned(),
            sub_mchid: None,
            api_version: ApiVersion::Alipay,
        },
        params: Params {
            document: document.to_string(),
            notify_url: notify_url.to_owned(),
            return_url: None,
            app_auth_token: None,
        },
    })
}

/// The merchant's app, where it has one for all its pay types.
fn only_app(merchant: &AlipayMerchant) -> Option<&str> {
    let mut ids = merchant.apps.values().map(|app| app.app_id.as_str());
    let first = ids.next()?;
    ids.all(|id| id == first).then_some(first)
}
