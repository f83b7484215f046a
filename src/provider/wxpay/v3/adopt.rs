//! Adopts a payment that none of our attempts made: it makes an attempt from the payment's message,
//! by which the engine can query, close and refund it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::order::Parties;
use crate::domain::channel::PayType;
use crate::domain::ids::ChannelNo;
use crate::domain::money::Fen;
use crate::domain::order::attempt::Params;
use crate::domain::product::{PaymentMethod, Product};
use crate::provider::wxpay::WxpayApp;
use crate::provider::wxpay::product::usual_product;
use crate::provider::{AdoptedAttempt, PaidTrade};

/// The attempt that stands for `trade`, which was paid under `channel_no` into the account of one
/// of `apps`.
pub(super) fn adopt_trade(
    apps: &BTreeMap<PayType, WxpayApp>,
    channel_no: &ChannelNo,
    trade: &PaidTrade,
    notify_url: &str,
) -> Option<AdoptedAttempt> {
    let transaction = AdoptedTransaction::deserialize(&*trade.message).ok()?;
    if transaction.parties.out_trade_no != channel_no.as_str() {
        return None;
    }
    let product = transaction.trade_type.as_deref().and_then(product_of);
    let amount = AdoptedAmount { total: trade.total_fee };
    let document =
        serde_json::to_string(&AdoptedDocument { parties: transaction.parties, amount }).ok()?;
    let parties = Parties::from_document(&document)?;
    let paid = apps.iter().filter(|(_, app)| app.account.mch_id == parties.mch_id);
    // The payment's app comes first, then its product.
    let pay_type = paid.min_by_key(|(pay_type, app)| {
        (app.app_id != parties.app_id, product.is_some() && usual_product(**pay_type) != product)
    });
    let pay_type = *pay_type?.0;
    let product = product.or_else(|| usual_product(pay_type))?;
    Some(AdoptedAttempt {
        method: PaymentMethod {
            pay_type,
            product,
            app_id: parties.client_app_id().to_owned(),
            openid: trade.openid.clone().filter(|_| product.needs_openid()),
            client_ip: None,
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
fn product_of(trade_type: &str) -> Option<Product> {
    match trade_type {
        "JSAPI" => Some(Product::Jsapi),
        "APP" => Some(Product::App),
        "NATIVE" => Some(Product::Native),
        "MWEB" => Some(Product::H5),
        // Such as `MICROPAY` and `FACEPAY`: paid at the shop's till.
        _ => None,
    }
}

#[derive(Deserialize)]
struct AdoptedTransaction {
    trade_type: Option<String>,
    #[serde(flatten)]
    parties: AdoptedParties,
}

/// Stands in the place of an order's body: the members that [`Parties`] reads, and the price.
#[derive(Serialize)]
struct AdoptedDocument {
    #[serde(flatten)]
    parties: AdoptedParties,
    amount: AdoptedAmount,
}

#[derive(Deserialize, Serialize)]
struct AdoptedParties {
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
struct AdoptedAmount {
    total: Fen,
}
