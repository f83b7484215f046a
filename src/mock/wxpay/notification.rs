//! WeChat Pay V3's notification of a payment or a refund: encrypted with the APIv3 key, signed in
//! four headers (V3, "payment success notification", "refund result notification").

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::refund;
use super::responses::told as told_by_query;
use super::route::Place;
use crate::mock::keys;
use crate::mock::notifier::{News, Stamp};
use crate::mock::sign;
use crate::mock::sign::Signer;
use crate::mock::world::ledger::{Order, Payment};
use crate::mock::world::notice::Forgery;
use crate::mock::world::refund::Refund;
use crate::secret::random_text;

/// What is POSTed for a payment, or for a refund of it.
pub(in crate::mock) fn told(news: News<'_>, stamp: Stamp) -> (HeaderMap, String) {
    let body = match news.refund {
        None => of_payment(news),
        Some(refund) if refund.is_told_in_xml => return in_xml(news.order),
        Some(refund) => of_refund(news, refund),
    };
    let body = body.to_string();
    (headers(news.order, &body, stamp), body)
}

fn of_payment(News { order, payment, .. }: News<'_>) -> Value {
    let place = match order.terms.request.get("sp_mchid") {
        Some(_) => Place::Partner,
        None => Place::Direct,
    };
    // As it was paid: what goes back is told by itself.
    let payment = Payment { refunds: Vec::new(), ..payment.clone() };
    let paid = Order { payments: vec![payment.clone()], ..order.clone() };
    json!({
        "id": payment.notice.id,
        "create_time": payment.paid_at.to_rfc3339_beijing(),
        "resource_type": "encrypt-resource",
        "event_type": "TRANSACTION.SUCCESS",
        "summary": "支付成功",
        "resource": sealed("transaction", &told_by_query(&paid, place)),
    })
}

fn of_refund(News { order, payment, .. }: News<'_>, refund: &Refund) -> Value {
    let (event, summary) = refund::event(refund.state);
    json!({
        "id": refund.notice.id,
        "create_time": refund.ends.to_rfc3339_beijing(),
        "resource_type": "encrypt-resource",
        "event_type": event,
        "summary": summary,
        "resource": sealed("refund", &refund::noticed(order, payment, refund)),
    })
}

fn sealed(original_type: &str, resource: &Value) -> Value {
    let (nonce, nonce_bytes) = sign::nonce();
    json!({
        "original_type": original_type,
        "algorithm": "AEAD_AES_256_GCM",
        "ciphertext": sign::encrypt(nonce_bytes, original_type, &resource.to_string()),
        "associated_data": original_type,
        "nonce": nonce,
    })
}

/// V2's refund notification (V3, "refund result notification", FAQ): unsigned XML. What it tells
/// is under V2's key, which nobody has here: it is noise.
fn in_xml(order: &Order) -> (HeaderMap, String) {
    let noise = STANDARD.encode(random_text());
    let body = format!(
        "<xml><return_code>SUCCESS</return_code><appid><![CDATA[{}]]></appid>\
         <mch_id><![CDATA[{}]]></mch_id><nonce_str><![CDATA[{}]]></nonce_str>\
         <req_info><![CDATA[{noise}]]></req_info></xml>",
        order.terms.app_id,
        keys::MCH_ID,
        random_text(),
    );
    let headers = [(USER_AGENT, "Mozilla/4.0"), (CONTENT_TYPE, "text/xml")];
    let header = |(name, value)| (name, HeaderValue::from_static(value));
    (headers.into_iter().map(header).collect(), body)
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
