//! Replies of the providers: signed at the last moment, so that faults can spoil them.

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, DATE, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderValue, Response, StatusCode};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use serde_json::{Value, json};

use super::keys;
use super::sign::Signer;
use super::world::faults::{FaultKind, Refuse};
use crate::domain::time::Millis;
use crate::secret::random_text;

/// A reply before it is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// WeChat Pay V3. Only successes are signed.
    Wxpay {
        /// The HTTP status.
        status: StatusCode,
        /// The JSON body, or nothing.
        body: String,
        /// Who signs a success.
        signer: Signer,
    },
    /// The Alipay gateway.
    Alipay {
        /// `alipay_trade_query_response`.
        node: String,
        /// The JSON object in the node, as it is signed.
        content: String,
        /// Whether it is signed, and with what.
        sealing: Sealing,
    },
    /// Something for a browser.
    Page(Page),
    /// A reply of the mock itself.
    Control(StatusCode, Value),
}

/// Something for a browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Page {
    /// Without scripts or styles.
    Plain(String),
    /// The cashier.
    Cashier(&'static str),
    /// The cashier's style.
    Style(&'static str),
    /// The cashier's script.
    Script(&'static str),
    /// A picture.
    Svg(String),
}

impl Page {
    fn response(self) -> Response<Bytes> {
        let (content_type, text) = match self {
            Page::Plain(html) => ("text/html;charset=utf-8", html),
            Page::Cashier(html) => ("text/html;charset=utf-8", html.to_owned()),
            Page::Style(css) => ("text/css;charset=utf-8", css.to_owned()),
            Page::Script(script) => ("text/javascript;charset=utf-8", script.to_owned()),
            Page::Svg(svg) => ("image/svg+xml", svg),
        };
        guarded(response(StatusCode::OK, content_type, text))
    }
}

/// What browsers are told of all that they get from the mock: it loads nothing from elsewhere,
/// runs no script but its own file, and is shown in no other page.
fn guarded(mut response: Response<Bytes>) -> Response<Bytes> {
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    response
}

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// How an Alipay reply is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sealing {
    /// Not at all: a failure of the gateway itself.
    Unsigned,
    /// Key mode.
    Key,
    /// Certificate mode: with `alipay_cert_sn` beside the signature.
    Certificate,
}

impl Reply {
    /// The HTTP response at `now`, spoiled by `fault`.
    pub(super) fn seal(self, fault: Option<&FaultKind>, now: Millis) -> Response<Bytes> {
        match self {
            Reply::Wxpay { status, body, signer } => {
                let body = if spoils(fault, &FaultKind::Malformed) { cut(body) } else { body };
                seal_wxpay(status, body, WxpaySeal { signer, fault, now })
            }
            Reply::Alipay { node, content, sealing } => {
                let text = seal_alipay(&node, content, sealing, fault);
                response(StatusCode::OK, "text/html;charset=utf-8", text)
            }
            Reply::Page(page) => page.response(),
            Reply::Control(status, value) => {
                guarded(response(status, "application/json", format!("{value:#}\n")))
            }
        }
    }
}

#[derive(Clone, Copy)]
struct WxpaySeal<'a> {
    signer: Signer,
    fault: Option<&'a FaultKind>,
    now: Millis,
}

/// Signs a success (WeChat Pay V3, "verifying signatures": timestamp, nonce and body, each ended
/// by a line feed; an empty body leaves a bare line feed). Failures carry no signature.
fn seal_wxpay(status: StatusCode, body: String, seal: WxpaySeal<'_>) -> Response<Bytes> {
    let nonce = random_text();
    let timestamp = seal.now.seconds().to_string();
    let serial = match seal.signer {
        Signer::WxpayPublicMode => keys::WXPAY_PUBLIC_KEY_ID,
        _ => keys::WXPAY_PLATFORM_SERIAL_NO,
    };
    let signed_nonce = if spoils(seal.fault, &FaultKind::BadSignature) { "" } else { &nonce };
    let message = format!("{timestamp}\n{signed_nonce}\n{body}\n");
    let mut response = response(status, "application/json; charset=utf-8", body);
    let headers = response.headers_mut();
    if status != StatusCode::UNAUTHORIZED {
        headers.insert("request-id", header(&random_text()));
    }
    if status.is_success() && !spoils(seal.fault, &FaultKind::Unsigned) {
        let signature = seal.signer.sign(message.as_bytes());
        headers.insert("wechatpay-timestamp", header(&timestamp));
        headers.insert("wechatpay-nonce", header(&nonce));
        headers.insert("wechatpay-signature", header(&signature));
        headers.insert("wechatpay-serial", header(serial));
        headers.insert("wechatpay-signature-type", header("WECHATPAY2-SHA256-RSA2048"));
    }
    if response.body().is_empty() {
        response.headers_mut().remove(CONTENT_TYPE);
    }
    response
}

/// The gateway's text: the signature is over the node's object exactly as it stands there
/// (Alipay open platform, "verifying synchronous replies").
fn seal_alipay(node: &str, content: String, sealing: Sealing, fault: Option<&FaultKind>) -> String {
    let content = if spoils(fault, &FaultKind::Malformed) { cut(content) } else { content };
    if sealing == Sealing::Unsigned || spoils(fault, &FaultKind::Unsigned) {
        return format!(r#"{{"{node}":{content}}}"#);
    }
    let spoiled = spoils(fault, &FaultKind::BadSignature);
    let signed = if spoiled { format!("{content} ") } else { content.clone() };
    let sign = Signer::Alipay.sign(signed.as_bytes());
    let beside = match sealing {
        Sealing::Certificate => format!(r#","alipay_cert_sn":"{}""#, keys::ALIPAY_PUBLIC_CERT_SN),
        _ => String::new(),
    };
    format!(r#"{{"{node}":{content}{beside},"sign":"{sign}"}}"#)
}

/// A refusal by WeChat Pay, with the status its tables of errors give the code.
pub(super) fn wxpay_refusal(refuse: &Refuse) -> Reply {
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
    Reply::Wxpay {
        status: status.unwrap_or(StatusCode::BAD_REQUEST),
        body: json!({ "code": refuse.code, "message": refuse.message }).to_string(),
        signer: Signer::WxpayPlatform,
    }
}

/// Sets `Date`, as every server does; a time beyond the calendar is not written.
pub(super) fn set_date(response: &mut Response<Bytes>, now: Millis) {
    let time = Timestamp::from_second(now.seconds()).ok();
    let text = time.and_then(|it| DateTimePrinter::new().timestamp_to_rfc9110_string(&it).ok());
    if let Some(text) = text {
        response.headers_mut().insert(DATE, header(&text));
    }
}

/// An answer of a server that is out of order.
pub(super) fn status_500() -> Response<Bytes> {
    response(StatusCode::INTERNAL_SERVER_ERROR, "text/html", "Internal Server Error".to_owned())
}

fn response(status: StatusCode, content_type: &'static str, body: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn header(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("digits, hex, base64 and dashes")
}

fn spoils(fault: Option<&FaultKind>, kind: &FaultKind) -> bool {
    fault == Some(kind)
}

/// The first half.
fn cut(text: String) -> String {
    text.chars().take(text.chars().count() / 2).collect()
}
