//! Who may use the cashier and the control operations over a socket: a person or a program on
//! this machine, and no page of another site that a browser on this machine shows.

use std::net::Ipv4Addr;
use std::str::FromStr as _;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, ORIGIN};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderName, Method, Response, StatusCode};
use serde_json::json;

use crate::domain::time::Millis;
use crate::mock::reply::Reply;

/// The refusal of a request for the mock's own pages and operations; none for what may pass, and
/// for calls of the providers, which bear their own signatures.
///
/// A name that leads here and is not this machine's own may be a stranger's, pointed here to let
/// his page in: where the listener `is_private`, it is refused.
pub(in crate::mock) fn refusal(parts: &Parts, is_private: bool) -> Option<Response<Bytes>> {
    let path = parts.uri.path();
    if path != "/" && !path.starts_with("/cashier.") && !path.starts_with("/_mock/") {
        return None;
    }
    let host = text(parts, &HOST).and_then(|it| Authority::from_str(it).ok());
    if is_private && !host.as_ref().is_some_and(|it| is_loopback(it.host())) {
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
    // A form of another site cannot send this type; a script there would have to ask first.
    let media_type = text(parts, &CONTENT_TYPE).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    if parts.method == Method::POST && !media_type.eq_ignore_ascii_case("application/json") {
        let why = "say what it is: Content-Type: application/json";
        return Some(refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
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
    let told = json!({ "code": "REFUSED", "message": message });
    Reply::Control(status, told).seal(None, Millis::default())
}
