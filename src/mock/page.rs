//! Responses for a browser: the cashier's files, messages in words, the control operations' JSON.

use bytes::Bytes;
use http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, LOCATION, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::uri::Authority;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use url::form_urlencoded;

use super::reply::{self, UnsignedReply};
use super::world::faults::FaultKind;
use crate::domain::time::Millis;

/// The path of the cashier's page for one order.
pub(super) const ORDER_PAGE: &str = "/pay";

/// A file for a browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BrowserPage {
    /// A message in words, without a script.
    Message(PageMessage),
    /// The way to the order that a payment code, or a text that the merchant signed, names.
    Order(String),
    /// The cashier.
    Cashier(&'static str),
    /// The cashier's style.
    Style(&'static str),
    /// The cashier's script.
    Script(&'static str),
    /// A picture.
    Svg(String),
}

/// A message to the person in front of the browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PageMessage {
    pub(super) status: StatusCode,
    /// In Chinese, and in English.
    pub(super) title: [&'static str; 2],
    /// In Chinese, and in English.
    pub(super) text: [&'static str; 2],
    /// The provider's own code and message, or the address.
    pub(super) detail: String,
}

impl BrowserPage {
    pub(super) fn response(&self) -> Response<Bytes> {
        let (content_type, text) = match self {
            BrowserPage::Message(message) => {
                return restricted(reply::response(message.status, HTML, message.html()));
            }
            BrowserPage::Order(code) => return restricted(see_order(code)),
            BrowserPage::Cashier(html) => (HTML, *html),
            BrowserPage::Style(css) => ("text/css;charset=utf-8", *css),
            BrowserPage::Script(script) => ("text/javascript;charset=utf-8", *script),
            BrowserPage::Svg(svg) => ("image/svg+xml", svg.as_str()),
        };
        restricted(reply::response(StatusCode::OK, content_type, text.to_owned()))
    }
}

impl UnsignedReply for BrowserPage {
    fn sign(&self, _: Option<&FaultKind>, _: Millis) -> Response<Bytes> {
        self.response()
    }
}

impl PageMessage {
    fn html(&self) -> String {
        let PageMessage { title: [title_zh, title_en], text: [text_zh, text_en], .. } = self;
        let detail = match self.detail.as_str() {
            "" => String::new(),
            detail => format!("<p class=\"mono\">{}</p>\n", escaped(detail)),
        };
        format!(
            "<!doctype html>\n<html lang=\"zh-CN\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <title>{title_zh} {title_en} · paygate</title>\n\
             <link rel=\"icon\" href=\"/cashier.svg\">\n\
             <link rel=\"stylesheet\" href=\"/cashier.css\">\n</head>\n<body>\n\
             <main class=\"words\">\n<h1>{title_zh} <span lang=\"en\">{title_en}</span></h1>\n\
             <p>{text_zh}</p>\n<p lang=\"en\">{text_en}</p>\n{detail}\
             <p><a href=\"/\">全部订单 <span lang=\"en\">All orders</span></a></p>\n\
             </main>\n</body>\n</html>\n"
        )
    }
}

/// Leads the browser to the cashier's page for the order of `code`, whatever the method of its
/// request was.
fn see_order(code: &str) -> Response<Bytes> {
    let mut response = reply::response(StatusCode::SEE_OTHER, HTML, String::new());
    let code = utf8_percent_encode(code, NON_ALPHANUMERIC);
    let address = reply::header_value(&format!("{ORDER_PAGE}?with={code}"));
    response.headers_mut().insert(LOCATION, address);
    response
}

/// The parameter `name` of the query string.
pub(super) fn parameter(request: &Request<Bytes>, name: &str) -> Option<String> {
    let query = request.uri().query().unwrap_or_default();
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// Whether a person's browser shows the response of `request` as a page.
pub(super) fn is_for_browser(request: &Request<Bytes>) -> bool {
    let accepted = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok());
    *request.method() == Method::GET && accepted.is_some_and(|text| text.contains("text/html"))
}

/// The address by which the caller reached the mock: of a request over a socket.
pub(super) fn origin_of(request: &Request<Bytes>) -> Option<String> {
    let host = request.headers().get(HOST)?.to_str().ok()?;
    host.parse::<Authority>().is_ok().then(|| format!("http://{host}"))
}

/// The JSON response of a control operation.
pub(super) fn json_response(status: StatusCode, value: &Value) -> Response<Bytes> {
    restricted(reply::response(status, "application/json", format!("{value:#}\n")))
}

/// Forbids the browser to load anything from another origin, to run another script than the
/// mock's own file, and to show the page in another page.
fn restricted(mut response: Response<Bytes>) -> Response<Bytes> {
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    response
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

const HTML: &str = "text/html;charset=utf-8";

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";
