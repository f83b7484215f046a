//! The simulated providers' notifications, signed here with their keys.
#![cfg(feature = "mock")]

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use paygate::Clock;
use paygate::domain::{Pid, ProviderId};
use paygate::error::Kind;
use paygate::mock::{SimulatedOrder, keys};
use paygate::provider::SigningKey;
use serde_json::json;

use super::shop::Shop;

const WXPAY_KEY: &str = include_str!("../../../src/mock/keys/wxpay_public_mode_key.pem");
const ALIPAY_KEY: &str = include_str!("../../../src/mock/keys/alipay_key.pem");

/// Where the providers notify of orders of the default merchant that are paid by QR code.
pub(crate) fn address(provider: ProviderId) -> String {
    address_of(provider, "h5", "default")
}

pub(crate) fn address_of(provider: ProviderId, pay_type: &str, merchant: &str) -> String {
    format!("/pay/notify/{provider}/{provider}_{pay_type}/{merchant}")
}

/// The notification of the payment of `no`, as its provider sends it to `to`.
pub(crate) fn notification(
    shop: &Shop,
    provider: ProviderId,
    no: &str,
    to: &str,
) -> Request<Full<Bytes>> {
    let order = shop.ledger(no).into_iter().find(|it| it.provider == provider).unwrap();
    notification_of(shop, &order, to)
}

/// The notification of the payment of `order`, as it stands there.
pub(crate) fn notification_of(
    shop: &Shop,
    order: &SimulatedOrder,
    to: &str,
) -> Request<Full<Bytes>> {
    match order.provider {
        ProviderId::Wxpay => wxpay(shop, order, to),
        ProviderId::Alipay => alipay(shop, order, &[], to),
    }
}

/// Alipay's notification of `order` with these parameters too.
pub(crate) fn alipay_notification_with(
    shop: &Shop,
    order: &SimulatedOrder,
    more: &[(&'static str, &str)],
) -> Request<Full<Bytes>> {
    alipay(shop, order, more, &address(ProviderId::Alipay))
}

/// Brings a notification to the engine, for the default merchant.
pub(crate) async fn take(
    shop: &Shop,
    provider: ProviderId,
    notification: Request<Full<Bytes>>,
) -> Result<(), Kind> {
    let (parts, body) = notification.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let taken = shop.engine.notify(provider, &Pid::default(), &parts.headers, body).await;
    taken.map_err(|error| error.kind())
}

fn wxpay(shop: &Shop, order: &SimulatedOrder, to: &str) -> Request<Full<Bytes>> {
    let payment = order.payments.last().unwrap();
    let message = json!({
        "mchid": order.merchant, "appid": order.terms.app_id,
        "out_trade_no": order.out_trade_no, "transaction_id": order.transaction_id,
        "trade_type": "NATIVE", "trade_state": "SUCCESS", "trade_state_desc": "支付成功",
        "bank_type": "OTHERS", "success_time": payment.paid_at.to_rfc3339_beijing(),
        "payer": {"openid": "oUpF8"},
        "amount": {"total": order.terms.amount.fen(), "payer_total": order.terms.amount.fen(),
                   "currency": "CNY", "payer_currency": "CNY"},
    });
    let nonce = "fdasflkja484";
    let key = UnboundKey::new(&AES_256_GCM, keys::API_V3_KEY.as_bytes()).unwrap();
    let mut sealed = message.to_string().into_bytes();
    let unique = Nonce::try_assume_unique_for_key(nonce.as_bytes()).unwrap();
    let aad = Aad::from("transaction");
    LessSafeKey::new(key).seal_in_place_append_tag(unique, aad, &mut sealed).unwrap();
    let body = json!({
        "id": "EV-2018022511223320873", "create_time": payment.paid_at.to_rfc3339_beijing(),
        "resource_type": "encrypt-resource", "event_type": "TRANSACTION.SUCCESS",
        "summary": "支付成功",
        "resource": {
            "algorithm": "AEAD_AES_256_GCM", "original_type": "transaction", "nonce": nonce,
            "associated_data": "transaction", "ciphertext": STANDARD.encode(sealed),
        },
    })
    .to_string();
    let timestamp = shop.clock.now().seconds();
    let key = SigningKey::parse(WXPAY_KEY.as_bytes()).unwrap();
    let signature = key.sign(format!("{timestamp}\n{nonce}\n{body}\n").as_bytes());
    Request::post(to)
        .header("content-type", "application/json")
        .header("wechatpay-serial", keys::WXPAY_PUBLIC_KEY_ID)
        .header("wechatpay-timestamp", timestamp)
        .header("wechatpay-nonce", nonce)
        .header("wechatpay-signature", signature)
        .body(body.into())
        .unwrap()
}

fn alipay(
    shop: &Shop,
    order: &SimulatedOrder,
    more: &[(&'static str, &str)],
    to: &str,
) -> Request<Full<Bytes>> {
    let amount = order.terms.amount.fen();
    let at = shop.clock.now().to_alipay();
    let mut parameters = vec![
        ("app_id", order.terms.app_id.clone()),
        ("buyer_id", "2088102146225135".to_owned()),
        ("charset", "utf-8".to_owned()),
        ("gmt_payment", at.clone()),
        ("notify_id", "2021071500222101011022561455000000".to_owned()),
        ("notify_time", at),
        ("notify_type", "trade_status_sync".to_owned()),
        ("out_trade_no", order.out_trade_no.clone()),
        ("seller_id", order.merchant.clone()),
        ("subject", "tea".to_owned()),
        ("total_amount", format!("{}.{:02}", amount / 100, amount % 100)),
        ("trade_no", order.transaction_id.clone().unwrap()),
        ("trade_status", "TRADE_SUCCESS".to_owned()),
        ("version", "1.0".to_owned()),
    ];
    parameters.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
    parameters.sort();
    let content: Vec<_> = parameters.iter().map(|(name, it)| format!("{name}={it}")).collect();
    let key = SigningKey::parse(ALIPAY_KEY.as_bytes()).unwrap();
    parameters.push(("sign", key.sign(content.join("&").as_bytes())));
    parameters.push(("sign_type", "RSA2".to_owned()));
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(parameters);
    Request::post(to)
        .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
        .body(form.finish().into())
        .unwrap()
}
