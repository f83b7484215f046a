//! WeChat Pay V3's notification of a payment or a refund: encrypted with the APIv3 key, signed in
//! four headers (V3, "payment success notification", "refund result notification").

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::refund;
use super::responses::trade_response;
use super::route::MerchantRole;
use crate::domain::time::{HOUR_MS, MINUTE_MS, SECOND_MS};
use crate::mock::keys;
use crate::mock::provider::SigningOptions;
use crate::mock::reply::header_value;
use crate::mock::sign;
use crate::mock::sign::Signer;
use crate::mock::world::notification::InvalidSignature;
use crate::mock::world::notification_content::NotificationContent;
use crate::mock::world::order::SimulatedOrder;
use crate::mock::world::payment::SimulatedPayment;
use crate::mock::world::refund::SimulatedRefund;
use crate::secret::random_text;

/// The waits between the tries (V3, "payment success notification": 15 tries after the first,
/// until the shop answers 200 or 204).
pub(super) const RETRY_WAITS_MS: [i64; 15] = [
    15 * SECOND_MS,
    15 * SECOND_MS,
    30 * SECOND_MS,
    3 * MINUTE_MS,
    10 * MINUTE_MS,
    20 * MINUTE_MS,
    30 * MINUTE_MS,
    30 * MINUTE_MS,
    30 * MINUTE_MS,
    HOUR_MS,
    3 * HOUR_MS,
    3 * HOUR_MS,
    3 * HOUR_MS,
    6 * HOUR_MS,
    6 * HOUR_MS,
];

/// The headers and the body of the notification of a payment, or of a refund of it.
pub(super) fn sign(
    content: NotificationContent<'_>,
    signing: SigningOptions,
) -> (HeaderMap, String) {
    let body = match content.refund {
        None => payment_body(content),
        Some(refund) if refund.is_notified_in_xml => return xml(content.order),
        Some(refund) => refund_body(content, refund),
    };
    let body = body.to_string();
    (headers(content.order, &body, signing), body)
}

fn payment_body(NotificationContent { order, payment, .. }: NotificationContent<'_>) -> Value {
    let role = match order.terms.request.get("sp_mchid") {
        Some(_) => MerchantRole::Partner,
        None => MerchantRole::Direct,
    };
    // As the buyer paid it: WeChat Pay notifies of each refund by itself.
    let payment = SimulatedPayment { refunds: Vec::new(), ..payment.clone() };
    let paid = SimulatedOrder { payments: vec![payment.clone()], ..order.clone() };
    json!({
        "id": payment.notification.id,
        "create_time": payment.paid_at.to_rfc3339_beijing(),
        "resource_type": "encrypt-resource",
        "event_type": "TRANSACTION.SUCCESS",
        "summary": "支付成功",
        "resource": encrypted("transaction", &trade_response(&paid, role)),
    })
}

fn refund_body(
    NotificationContent { order, payment, .. }: NotificationContent<'_>,
    refund: &SimulatedRefund,
) -> Value {
    let (event, summary) = refund::event(refund.state);
    let resource = refund::notification_resource(order, payment, refund);
    json!({
        "id": refund.notification.id,
        "create_time": refund.ends_at.to_rfc3339_beijing(),
        "resource_type": "encrypt-resource",
        "event_type": event,
        "summary": summary,
        "resource": encrypted("refund", &resource),
    })
}

fn encrypted(original_type: &str, resource: &Value) -> Value {
    let (nonce, nonce_bytes) = sign::nonce();
    json!({
        "original_type": original_type,
        "algorithm": "AEAD_AES_256_GCM",
        "ciphertext": sign::encrypt(nonce_bytes, original_type, &resource.to_string()),
        "associated_data": original_type,
        "nonce": nonce,
    })
}

/// V2's refund notification (V3, "refund result notification", FAQ): unsigned XML. V2's key
/// encrypts its content, and the mock has no such key: the content is noise.
fn xml(order: &SimulatedOrder) -> (HeaderMap, String) {
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

fn headers(order: &SimulatedOrder, body: &str, signing: SigningOptions) -> HeaderMap {
    let (signer, serial) = match order.wechatpay_serial.as_deref() {
        Some(keys::WXPAY_PUBLIC_KEY_ID) => (Signer::WxpayPublicMode, keys::WXPAY_PUBLIC_KEY_ID),
        _ => (Signer::WxpayPlatform, keys::WXPAY_PLATFORM_SERIAL_NO),
    };
    let timestamp = signing.signed_at.seconds().to_string();
    let nonce = random_text();
    let message = format!("{timestamp}\n{nonce}\n{body}\n");
    let signature = match signing.invalid_signature {
        None => signer.sign(message.as_bytes()),
        Some(InvalidSignature::WrongKey) => Signer::WxpayMerchant.sign(message.as_bytes()),
        Some(InvalidSignature::Probe) => {
            format!("WECHATPAY/SIGNTEST/{}", signer.sign(nonce.as_bytes()))
        }
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
    let header =
        |(name, value): (&'static str, &str)| (HeaderName::from_static(name), header_value(value));
    fields.into_iter().map(header).collect()
}
