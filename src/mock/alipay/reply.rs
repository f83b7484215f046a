//! Replies of Alipay's gateway: a JSON object, and the signature over its text.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::request::{AlipayApiError, AlipayRequest};
use crate::domain::time::Millis;
use crate::mock::keys;
use crate::mock::reply::{self, UnsignedReply, cut_off};
use crate::mock::sign::Signer;
use crate::mock::world::faults::FaultKind;

/// A reply of Alipay's gateway before the signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AlipayReply {
    /// `alipay_trade_query_response`.
    node: String,
    /// The JSON object in the node, as Alipay signs it.
    content: String,
    signing: AlipaySigning,
}

/// How Alipay signs a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AlipaySigning {
    /// Not at all: a failure of the gateway itself.
    Unsigned,
    /// Key mode.
    Key,
    /// Certificate mode: with `alipay_cert_sn` beside the signature.
    Certificate,
}

impl AlipayReply {
    /// The reply to `request`. Alipay does not sign failures of the gateway itself.
    pub(super) fn new(
        request: &AlipayRequest,
        result: Result<Value, AlipayApiError>,
    ) -> AlipayReply {
        let signing = match &result {
            Err(error) if error.code != "40004" => AlipaySigning::Unsigned,
            _ if request.value("app_cert_sn").is_some() => AlipaySigning::Certificate,
            _ => AlipaySigning::Key,
        };
        let content = match result {
            Ok(mut content) => {
                content["code"] = json!("10000");
                content["msg"] = json!("Success");
                content
            }
            Err(error) => json!({
                "code": error.code,
                "msg": message_of(&error.code),
                "sub_code": error.sub_code,
                "sub_msg": error.sub_msg,
            }),
        };
        let node = match request.method() {
            "" => "error_response".to_owned(),
            method => format!("{}_response", method.replace('.', "_")),
        };
        // Alipay escapes slashes, and signs the escaped text.
        AlipayReply { node, content: content.to_string().replace('/', "\\/"), signing }
    }

    /// The gateway's text: the signature is over the node's object exactly as it stands there
    /// (Alipay open platform, "verifying synchronous replies").
    fn text(&self, fault: Option<&FaultKind>) -> String {
        let node = &self.node;
        let content = cut_off(&self.content, fault);
        if self.signing == AlipaySigning::Unsigned || fault == Some(&FaultKind::Unsigned) {
            return format!(r#"{{"{node}":{content}}}"#);
        }
        let signed = match fault {
            Some(FaultKind::BadSignature) => format!("{content} "),
            _ => content.clone(),
        };
        let sign = Signer::Alipay.sign(signed.as_bytes());
        let certificate = match self.signing {
            AlipaySigning::Certificate => {
                format!(r#","alipay_cert_sn":"{}""#, keys::ALIPAY_PUBLIC_CERT_SN)
            }
            _ => String::new(),
        };
        format!(r#"{{"{node}":{content}{certificate},"sign":"{sign}"}}"#)
    }
}

impl UnsignedReply for AlipayReply {
    fn sign(&self, fault: Option<&FaultKind>, _: Millis) -> Response<Bytes> {
        reply::response(StatusCode::OK, "text/html;charset=utf-8", self.text(fault))
    }
}

/// `msg` of a `code` (Alipay open platform, "public error codes").
fn message_of(code: &str) -> &'static str {
    match code {
        "20000" => "Service Currently Unavailable",
        "20001" => "Insufficient Token Permissions",
        "40001" => "Missing Required Arguments",
        "40002" => "Invalid Arguments",
        "40005" => "Call Limited",
        "40006" => "Insufficient Permissions",
        _ => "Business Failed",
    }
}
