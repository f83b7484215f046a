//! Admits to the cashier and the control operations only a person or a program on this machine,
//! and no page of another site in a browser on this machine.

use std::net::Ipv4Addr;
use std::str::FromStr as _;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, ORIGIN};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderName, Method, Response, StatusCode};
use serde_json::json;

use crate::mock::page::{ORDER_PAGE, json_response};

/// The refusal of a request for the mock's own pages and operations; `None` for an admitted one,
/// and for calls of the providers, which carry a signature.
///
/// Another site can point a name of its own at this machine, so that a browser lets its page in
/// (DNS rebinding): where the listener `is_private`, only this machine's own names are admitted.
pub(in crate::mock) fn refusal(parts: &Parts, is_private: bool) -> Option<Response<Bytes>> {
    let path = parts.uri.path();
    let is_page = matches!(path, "/" | ORDER_PAGE) || path.starts_with("/cashier.");
    if !is_page && !path.starts_with("/_mock/") {
        return None;
    }
    let host = text(parts, &HOST).and_then(|text| Authority::from_str(text).ok());
    if is_private && !host.as_ref().is_some_and(|host| is_loopback(host.host())) {
        return Some(refused(StatusCode::FORBIDDEN, "the Host is not this machine's own name"));
    }
    if matches!(parts.method, Method::GET | Method::HEAD) {
        return None;
    }
    if let Some(origin) = text(parts, &ORIGIN) {
        let own = host.is_some_and(|host| origin == format!("http://{host}"));
        if !own {
            return Some(refused(StatusCode::FORBIDDEN, "not from a page of another origin"));
        }
    }
    // A form of another site cannot send this type, and a script there needs a preflight request.
    let media_type = text(parts, &CONTENT_TYPE).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    if parts.method == Method::POST && !media_type.eq_ignore_ascii_case("application/json") {
        let message = "the Content-Type must be application/json";
        return Some(refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    None
}

fn text<'a>(parts: &'a Parts, name: &HeaderName) -> Option<&'a str> {
    parts.headers.get(name)?.to_str().ok()
}

fn is_loopback(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    host == "localhost"
        || host.ends_with(".localhost")
        || host == "[::1]"
        || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

fn refused(status: StatusCode, message: &str) -> Response<Bytes> {
    json_response(status, &json!({ "code": "REFUSED", "message": message }))
}
