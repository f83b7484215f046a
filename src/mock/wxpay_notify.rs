//! WeChat Pay V3's notification of a payment: encrypted with the APIv3 key, signed in four headers
//! (V3, "payment success notification").

use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::json;

use super::keys;
use super::ledger::{Order, Payment};
use super::notice::Forgery;
use super::notify::Stamp;
use super::sign::{self, Signer};
use super::wxpay_route::Place;
use super::wxpay_told::told;
use crate::secret::random_text;

/// What is POSTed for `payment` of `order`.
pub(super) fn payment(order: &Order, payment: &Payment, stamp: Stamp) -> (HeaderMap, String) {
    let place = match order.terms.request.get("sp_mchid") {
        Some(_) => Place::Partner,
        None => Place::Direct,
    };
    let (nonce, nonce_bytes) = sign::nonce();
    let resource = told(order, place).to_string();
    let body = json!({
        "id": payment.notice.id,
        "create_time": payment.paid_at.to_rfc3339_beijing(),
        "resource_type": "encrypt-resource",
        "event_type": "TRANSACTION.SUCCESS",
        "summary": "支付成功",
        "resource": {
            "original_type": "transaction",
            "algorithm": "AEAD_AES_256_GCM",
            "ciphertext": sign::encrypt(nonce_bytes, "transaction", &resource),
            "associated_data": "transaction",
            "nonce": nonce,
        },
    });
    let body = body.to_string();
    (headers(order, &body, stamp), body)
}

fn headers(order: &Order, body: &str, stamp: Stamp) -> HeaderMap {
    let (signer, serial) = match order.wechatpay_serial.as_deref() {
        Some(keys::WXPAY_PUBLIC_KEY_ID) => (Signer::WxpayPublicMode, keys::WXPAY_PUBLIC_KEY_ID),
        _ => (Signer::WxpayPlatform, keys::WXPAY_PLATFORM_SERIAL_NO),
    };
    let timestamp = stamp.wall.seconds().to_string();
    let nonce = random_text();
    let message = format!("{timestamp}\n{nonce}\n{body}\n");
    let signature = match stamp.forged {
        None => signer.sign(message.as_bytes()),
        Some(Forgery::WrongKey) => Signer::WxpayMerchant.sign(message.as_bytes()),
        Some(Forgery::Probe) => format!("WECHATPAY/SIGNTEST/{}", signer.sign(nonce.as_bytes())),
    };
    let fields = [
        ("wechatpay-timestamp", timestamp.as_str()),
        ("wechatpay-nonce", &nonce),
        ("wechatpay-signature", &signature),
        ("wechatpay-serial", serial),
        ("wechatpay-signature-type", "WECHATPAY2-SHA256-RSA2048"),
        (USER_AGENT.as_str(), "Mozilla/4.0"),
        (CONTENT_TYPE.as_str(), "application/json"),
    ];
    let header = |(name, value): (&'static str, &str)| {
        let value = HeaderValue::from_str(value).expect("digits, hex, base64 and dashes");
        (HeaderName::from_static(name), value)
    };
    fields.into_iter().map(header).collect()
}
