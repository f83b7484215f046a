//! Alipay's notification of a payment or a refund: a form, signed over everything but `sign` and
//! `sign_type` (Alipay open platform, "asynchronous notification").

use std::collections::BTreeMap;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};
use url::form_urlencoded::Serializer;

use super::validate;
use crate::domain::money::Fen;
use crate::domain::time::{HOUR_MS, MINUTE_MS};
use crate::mock::keys;
use crate::mock::provider::SigningOptions;
use crate::mock::sign::Signer;
use crate::mock::world::notification_content::NotificationContent;

/// The waits between the tries (Alipay open platform, "asynchronous notification": 7 tries after
/// the first, until the shop answers `success`).
pub(super) const RETRY_WAITS_MS: [i64; 7] = [
    4 * MINUTE_MS,
    10 * MINUTE_MS,
    10 * MINUTE_MS,
    HOUR_MS,
    2 * HOUR_MS,
    6 * HOUR_MS,
    15 * HOUR_MS,
];

/// The headers and the body of the notification of a payment, or of a refund of it.
pub(super) fn sign(
    content: NotificationContent<'_>,
    signing: SigningOptions,
) -> (HeaderMap, String) {
    let mut fields = fields(content);
    fields.insert("notify_time", signing.signed_at.to_alipay());
    let pairs: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let signer = match signing.invalid_signature {
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

/// Alipay closes a trade by the refund that completes a full refund (alipay.trade.query).
fn trade_status(content: NotificationContent<'_>) -> &'static str {
    let paid = content.payment.amount.fen();
    match content.refund {
        Some(refund) if content.payment.refunded_fen_up_to(refund) >= paid => "TRADE_CLOSED",
        _ => "TRADE_SUCCESS",
    }
}

fn fields(content: NotificationContent<'_>) -> BTreeMap<&'static str, String> {
    let NotificationContent { order, payment, .. } = content;
    let app_id = order.terms.app_id.clone();
    let yuan = payment.amount.to_yuan();
    // A merchant that gave the app its token has an app and an account of its own.
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
        ("notify_id", content.state().id.clone()),
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
        ("trade_status", trade_status(content).to_owned()),
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
    if let Some(refund) = content.refund {
        let total = Fen::new(payment.refunded_fen_up_to(refund)).unwrap_or(payment.amount);
        let at = refund.ends_at;
        if !refund.is_notified_unnumbered {
            fields.insert("out_biz_no", refund.out_refund_no.clone());
        }
        fields.insert("refund_fee", total.to_yuan());
        fields.insert("send_back_fee", refund.amount.to_yuan());
        // The only time that has thousandths.
        fields.insert("gmt_refund", format!("{}.{:03}", at.to_alipay(), at.0.rem_euclid(1_000)));
    }
    let requested = |name: &str| order.terms.request.pointer(&format!("/biz_content/{name}"));
    for name in ["body", "passback_params"] {
        if let Some(value) = requested(name).and_then(Value::as_str).filter(|text| !text.is_empty())
        {
            fields.insert(name, value.to_owned());
        }
    }
    fields
}
