//! Alipay's notification of a payment or a refund: a form, signed over everything but `sign` and
//! `sign_type` (Alipay open platform, "asynchronous notification").

use std::collections::BTreeMap;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};
use url::form_urlencoded::Serializer;

use super::validate;
use crate::domain::money::Fen;
use crate::mock::keys;
use crate::mock::notifier::{News, Stamp};
use crate::mock::sign::Signer;

/// What is POSTed for a payment, or for a refund of it.
pub(in crate::mock) fn told(news: News<'_>, stamp: Stamp) -> (HeaderMap, String) {
    let mut fields = fields(news);
    fields.insert("notify_time", stamp.wall.to_alipay());
    let pairs: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let signer = match stamp.forged {
        None => Signer::Alipay,
        Some(_) => Signer::AlipayApp,
    };
    let sign = signer.sign(pairs.join("&").as_bytes());
    let mut form = Serializer::new(String::new());
    form.extend_pairs(&fields).append_pair("sign_type", "RSA2").append_pair("sign", &sign);
    let mut headers = HeaderMap::new();
    let form_type = HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8");
    headers.insert(CONTENT_TYPE, form_type);
    (headers, form.finish())
}

/// A trade is closed by the refund after which nothing of it is left (alipay.trade.query).
fn trade_status(news: News<'_>) -> &'static str {
    let paid = news.payment.amount.fen();
    match news.refund {
        Some(refund) if news.payment.returned_by(refund) >= paid => "TRADE_CLOSED",
        _ => "TRADE_SUCCESS",
    }
}

fn fields(news: News<'_>) -> BTreeMap<&'static str, String> {
    let News { order, payment, .. } = news;
    let app_id = order.terms.app_id.clone();
    let yuan = payment.amount.to_yuan();
    // Who gave the app its token has an app and an account of its own.
    let own = order.merchant == keys::ALIPAY_SELLER_ID;
    let (auth_app_id, seller_id) = match own {
        true => (app_id.clone(), keys::ALIPAY_SELLER_ID),
        false => ("2021000000000009".to_owned(), "2088000000000009"),
    };
    let buyer = match validate::is_user_id(&payment.payer) {
        true => "buyer_id",
        false => "buyer_open_id",
    };
    let mut fields = BTreeMap::from([
        ("notify_type", "trade_status_sync".to_owned()),
        ("notify_id", news.notice().id.clone()),
        ("charset", "utf-8".to_owned()),
        ("version", "1.0".to_owned()),
        ("app_id", app_id),
        ("auth_app_id", auth_app_id),
        ("trade_no", payment.transaction_id.clone()),
        ("out_trade_no", order.out_trade_no.clone()),
        (buyer, payment.payer.clone()),
        ("buyer_logon_id", "moc***@example.com".to_owned()),
        ("seller_id", seller_id.to_owned()),
        ("seller_email", "shop@example.com".to_owned()),
        ("trade_status", trade_status(news).to_owned()),
        ("total_amount", yuan.clone()),
        ("receipt_amount", yuan.clone()),
        ("invoice_amount", yuan.clone()),
        ("buyer_pay_amount", yuan.clone()),
        ("point_amount", "0.00".to_owned()),
        ("subject", order.terms.subject.clone()),
        ("gmt_create", order.created.to_alipay()),
        ("gmt_payment", payment.paid_at.to_alipay()),
        ("fund_bill_list", json!([{ "amount": yuan, "fundChannel": "ALIPAYACCOUNT" }]).to_string()),
    ]);
    if let Some(refund) = news.refund {
        let all = Fen::new(payment.returned_by(refund)).unwrap_or(payment.amount);
        let at = refund.ends;
        fields.insert("out_biz_no", refund.out_refund_no.clone());
        fields.insert("refund_fee", all.to_yuan());
        fields.insert("send_back_fee", refund.amount.to_yuan());
        // The only time that has thousandths.
        fields.insert("gmt_refund", format!("{}.{:03}", at.to_alipay(), at.0.rem_euclid(1_000)));
    }
    let asked = |name: &str| order.terms.request.pointer(&format!("/biz_content/{name}"));
    for name in ["body", "passback_params"] {
        if let Some(value) = asked(name).and_then(Value::as_str).filter(|it| !it.is_empty()) {
            fields.insert(name, value.to_owned());
        }
    }
    fields
}
