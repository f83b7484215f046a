//! WeChat Pay V3's replies: it signs the successes.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::json;

use super::responses::WxpayApiError;
use crate::domain::time::Millis;
use crate::mock::keys;
use crate::mock::reply::{self, UnsignedReply, cut_off, header_value};
use crate::mock::sign::Signer;
use crate::mock::world::faults::{FaultKind, Refuse};
use crate::secret::random_text;

/// A reply of WeChat Pay V3 before the signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WxpayReply {
    pub(super) status: StatusCode,
    /// The JSON body, or nothing.
    pub(super) body: String,
    /// The key that signs a success.
    pub(super) signer: Signer,
}

impl WxpayReply {
    /// A refusal that a fault requests, with the status of WeChat Pay's tables of errors.
    pub(super) fn refusal(refuse: &Refuse) -> WxpayReply {
        let usual = match refuse.code.as_str() {
            "SYSTEM_ERROR" | "SYSTEMERROR" | "BANK_ERROR" | "OPENID_MISMATCH" => 500,
            "SERVICE_UNAVAILABLE" => 503,
            "FREQUENCY_LIMITED" | "RATELIMIT_EXCEEDED" => 429,
            "OUT_TRADE_NO_USED"
            | "NO_AUTH"
            | "RULE_LIMIT"
            | "TRADE_ERROR"
            | "ACCOUNT_ERROR"
            | "NOT_ENOUGH"
            | "USER_ACCOUNT_ABNORMAL" => 403,
            "ORDER_NOT_EXIST" | "ORDERNOTEXIST" | "RESOURCE_NOT_EXISTS" => 404,
            "SIGN_ERROR" => 401,
            _ => 400,
        };
        let status = StatusCode::from_u16(refuse.status.unwrap_or(usual));
        WxpayReply {
            status: status.unwrap_or(StatusCode::BAD_REQUEST),
            body: json!({ "code": refuse.code, "message": refuse.message }).to_string(),
            signer: Signer::WxpayPlatform,
        }
    }
}

impl From<WxpayApiError> for WxpayReply {
    fn from(error: WxpayApiError) -> WxpayReply {
        let status = StatusCode::from_u16(error.status).expect("a status of the table of errors");
        WxpayReply { status, body: error.body.to_string(), signer: Signer::WxpayPlatform }
    }
}

impl UnsignedReply for WxpayReply {
    /// Signs a success (WeChat Pay V3, "verifying signatures": timestamp, nonce and body, each
    /// ended by a line feed; an empty body leaves a bare line feed). Failures carry no signature.
    fn sign(&self, fault: Option<&FaultKind>, now: Millis) -> Response<Bytes> {
        let body = cut_off(&self.body, fault);
        let nonce = random_text();
        let timestamp = now.seconds().to_string();
        let serial = match self.signer {
            Signer::WxpayPublicMode => keys::WXPAY_PUBLIC_KEY_ID,
            _ => keys::WXPAY_PLATFORM_SERIAL_NO,
        };
        let signed_nonce = if fault == Some(&FaultKind::BadSignature) { "" } else { &nonce };
        let message = format!("{timestamp}\n{signed_nonce}\n{body}\n");
        let mut response = match body.is_empty() {
            true => reply::empty(self.status),
            false => reply::response(self.status, "application/json; charset=utf-8", body),
        };
        let headers = response.headers_mut();
        match self.status {
            StatusCode::UNAUTHORIZED => headers.remove("request-id"),
            _ => headers.insert("request-id", header_value(&random_text())),
        };
        if self.status.is_success() && fault != Some(&FaultKind::Unsigned) {
            let signature = self.signer.sign(message.as_bytes());
            headers.insert("wechatpay-timestamp", header_value(&timestamp));
            headers.insert("wechatpay-nonce", header_value(&nonce));
            headers.insert("wechatpay-signature", header_value(&signature));
            headers.insert("wechatpay-serial", header_value(serial));
            let signature_type = header_value("WECHATPAY2-SHA256-RSA2048");
            headers.insert("wechatpay-signature-type", signature_type);
        }
        response
    }
}
