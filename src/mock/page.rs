//! Responses for a browser: the cashier's files, Alipay's pay pages, the control operations' JSON.

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use http::{HeaderValue, Response, StatusCode};
use serde_json::Value;

use super::reply::{self, UnsignedReply};
use super::world::faults::FaultKind;
use crate::domain::time::Millis;

/// A file for a browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BrowserPage {
    /// A page without scripts and styles.
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

impl BrowserPage {
    pub(super) fn response(&self) -> Response<Bytes> {
        let (content_type, text) = match self {
            BrowserPage::Plain(html) => ("text/html;charset=utf-8", html.as_str()),
            BrowserPage::Cashier(html) => ("text/html;charset=utf-8", *html),
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

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";
