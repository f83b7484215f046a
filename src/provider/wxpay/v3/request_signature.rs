//! Our signature on a request (WeChat Pay V3, "how to build the signature").

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{Method, Request};

use super::response_signature::SERIAL;
use crate::domain::time::Millis;
use crate::provider::transport;
use crate::provider::wxpay::{WxpayAccount, WxpayVerification};

/// A request before it is signed.
#[derive(Clone, Debug)]
pub(super) struct UnsignedRequest {
    pub(super) method: Method,
    /// Path and query below the account's base URL, as they are transmitted.
    pub(super) target: String,
    /// JSON text; empty for GET.
    pub(super) body: String,
}

impl UnsignedRequest {
    pub(super) fn get(target: String) -> UnsignedRequest {
        UnsignedRequest { method: Method::GET, target, body: String::new() }
    }

    pub(super) fn post(target: String, body: String) -> UnsignedRequest {
        UnsignedRequest { method: Method::POST, target, body }
    }

    /// The request, signed at `now` with `nonce` (WeChat Pay V3, "how to build the signature").
    ///
    /// # Errors
    ///
    /// When a configured text does not fit into a header or a URL.
    pub(super) fn sign(
        self,
        account: &WxpayAccount,
        now: Millis,
        nonce: &str,
    ) -> Result<Request<Bytes>, http::Error> {
        let base = &account.base_url;
        // The signature covers the target as it is transmitted, a base URL's own path included.
        let target = format!("{}{}", base.path().trim_end_matches('/'), self.target);
        let timestamp = now.seconds();
        let method = &self.method;
        let message = format!("{method}\n{target}\n{timestamp}\n{nonce}\n{}\n", self.body);
        let signature = account.signing.sign(message.as_bytes());
        let authorization = format!(
            "WECHATPAY2-SHA256-RSA2048 mchid=\"{}\",nonce_str=\"{nonce}\",\
             timestamp=\"{timestamp}\",serial_no=\"{}\",signature=\"{signature}\"",
            account.mch_id, account.serial_no
        );
        let mut request = Request::builder()
            .method(self.method)
            .uri(format!("{}{target}", base.origin().ascii_serialization()))
            .header(AUTHORIZATION, authorization)
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, transport::USER_AGENT);
        if !self.body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let WxpayVerification::PublicKey { id, .. } = &account.verification {
            // Asks WeChat Pay to sign the response with this key.
            request = request.header(SERIAL, id);
        }
        request.body(Bytes::from(self.body))
    }
}
