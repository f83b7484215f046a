//! A payment that no attempt here was opened for: what calls about it need.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::order::Parties;
use crate::domain::channel::{PayType, PaymentMethod, Product};
use crate::domain::ids::ChannelNo;
use crate::domain::money::Fen;
use crate::domain::order::attempt::Params;
use crate::provider::wxpay::App;
use crate::provider::{AdoptedAttempt, PaidTrade};

/// What an attempt of `trade` holds, which was paid under `no` into the account of one of `apps`.
pub(super) fn adopted(
    apps: &BTreeMap<PayType, App>,
    no: &ChannelNo,
    trade: &PaidTrade,
    notify_url: &str,
) -> Option<AdoptedAttempt> {
    let told = Told::deserialize(&*trade.message).ok()?;
    if told.parties.out_trade_no != no.as_str() {
        return None;
    }
    let product = told.trade_type.as_deref().and_then(product);
    let amount = Amount { total: trade.total_fee };
    let document = serde_json::to_string(&Document { parties: told.parties, amount }).ok()?;
    let parties = Parties::of(&document)?;
    let paid = apps.iter().filter(|(_, app)| app.account.mch_id == parties.mch_id);
    // The app that was paid in comes first, then the product that was paid by.
    let pay_type = paid.min_by_key(|(pay_type, app)| {
        (app.app_id != parties.app_id, product.is_some() && usual(**pay_type) != product)
    });
    let pay_type = *pay_type?.0;
    let product = product.or_else(|| usual(pay_type))?;
    Some(AdoptedAttempt {
        method: PaymentMethod {
            pay_type,
            product,
            app_id: parties.client_app_id().to_owned(),
            openid: trade.openid.clone().filter(|_| product.needs_openid()),
            address: None,
        },
        account: parties.account(),
        params: Params {
            document,
            notify_url: notify_url.to_owned(),
            return_url: None,
            app_auth_token: None,
        },
    })
}

/// `trade_type` (WeChat Pay V3, query order).
fn product(trade_type: &str) -> Option<Product> {
    match trade_type {
        "JSAPI" => Some(Product::Jsapi),
        "APP" => Some(Product::App),
        "NATIVE" => Some(Product::Native),
        "MWEB" => Some(Product::H5),
        // Such as `MICROPAY` and `FACEPAY`: paid at the shop's till.
        _ => None,
    }
}

/// The product that a pay type is paid by.
fn usual(pay_type: PayType) -> Option<Product> {
    match pay_type {
        PayType::WxpayMpWeixin | PayType::WxpayH5Weixin => Some(Product::Jsapi),
        PayType::WxpayAppPlus => Some(Product::App),
        PayType::WxpayH5 => Some(Product::Native),
        PayType::WxpayMweb => Some(Product::H5),
        PayType::AlipayMpAlipay | PayType::AlipayAppPlus | PayType::AlipayH5 => None,
    }
}

#[derive(Deserialize)]
struct Told {
    trade_type: Option<String>,
    #[serde(flatten)]
    parties: ToldParties,
}

/// What stands in the place of an order's body: as much of it as [`Parties`] reads, and the price.
#[derive(Serialize)]
struct Document {
    #[serde(flatten)]
    parties: ToldParties,
    amount: Amount,
}

#[derive(Deserialize, Serialize)]
struct ToldParties {
    #[serde(skip_serializing_if = "Option::is_none")]
    appid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mchid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sp_appid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sp_mchid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_appid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_mchid: Option<String>,
    out_trade_no: String,
}

#[derive(Serialize)]
struct Amount {
    total: Fen,
}
