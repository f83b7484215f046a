//! The way from Alipay's pay pages to the merchant's page, with the payment's parameters (Alipay
//! open platform, "alipay.trade.page.pay", synchronous return).

use std::collections::BTreeMap;

use serde_json::Value;

use super::notification::{authorised, signed_form};
use crate::domain::product::Product;
use crate::domain::time::Millis;
use crate::mock::provider::{ReturnUrls, merchant_page};
use crate::mock::sign::Signer;
use crate::mock::world::order::SimulatedOrder;

/// Where the buyer goes from the pay page of `order`. A buyer that leaves Alipay's phone page goes
/// to its `quit_url`, where the merchant named one.
pub(super) fn urls(order: &SimulatedOrder, now: Millis) -> ReturnUrls {
    let method = match order.terms.product {
        Product::WapPay => "alipay.trade.wap.pay.return",
        Product::PagePay => "alipay.trade.page.pay.return",
        _ => return ReturnUrls::default(),
    };
    let named = |pointer: &str| {
        let text = order.terms.request.pointer(pointer).and_then(Value::as_str);
        text.and_then(merchant_page)
    };
    let Some(url) = named("/return_url") else { return ReturnUrls::both(named(QUIT_URL)) };
    let after_payment = order.payments.first().map(|payment| {
        let (auth_app_id, seller_id) = authorised(order);
        let charset = order.terms.request.get("charset").and_then(Value::as_str);
        let fields = BTreeMap::from([
            ("app_id", order.terms.app_id.clone()),
            ("auth_app_id", auth_app_id),
            ("charset", charset.unwrap_or("utf-8").to_owned()),
            ("method", method.to_owned()),
            ("out_trade_no", order.out_trade_no.clone()),
            ("seller_id", seller_id.to_owned()),
            ("timestamp", now.to_alipay()),
            ("total_amount", payment.amount.to_yuan()),
            ("trade_no", payment.transaction_id.clone()),
            ("version", "1.0".to_owned()),
        ]);
        let form = signed_form(&fields, Signer::Alipay);
        let mut url = url.clone();
        let query = url.query().map_or_else(|| form.clone(), |query| format!("{query}&{form}"));
        url.set_query(Some(&query));
        String::from(url)
    });
    let after_leaving = Some(String::from(named(QUIT_URL).unwrap_or(url)));
    ReturnUrls { after_payment, after_leaving }
}

const QUIT_URL: &str = "/biz_content/quit_url";
