//! The headers of a request or response that the proxy forwards.

use std::net::IpAddr;

use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
};

use crate::caller::TrustedProxies;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Removes the headers of one connection (RFC 9110, 7.6.1), and `Proxy`, which many a CGI-like
/// upstream takes for its own outgoing proxy ("httpoxy"). `Trailer` stays: the proxy forwards the
/// trailers that it announces, and no others.
pub(in crate::sidecar) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        // These are end-to-end even when `Connection` names them: without them the message would
        // mean something else to the upstream.
        .filter(|name| ![HOST, CONTENT_LENGTH, TE].contains(name))
        .collect();
    for name in named {
        headers.remove(name);
    }
    let trailers = has_token(headers, &TE, "trailers");
    for name in [
        CONNECTION,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy"),
        HeaderName::from_static("proxy-connection"),
        HeaderName::from_static("proxy-authentication-info"),
        PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION,
        TE,
        TRANSFER_ENCODING,
        UPGRADE,
    ] {
        headers.remove(name);
    }
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

/// The protocol that this message requests to upgrade to, or accepts.
///
/// Not `h2c` (nor `TLS`): through such a tunnel a client would speak HTTP with the upstream past
/// the guard. RFC 9113 has dropped it.
pub(in crate::sidecar) fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    if !has_token(headers, &CONNECTION, "upgrade") {
        return None;
    }
    let mut protocols = headers.get_all(UPGRADE).iter();
    let (protocol, more) = (protocols.next()?, protocols.next());
    let name = protocol.to_str().ok()?;
    let product = name.split('/').next().unwrap_or_default();
    let is_http =
        ["h2c", "h2", "http", "tls"].iter().any(|name| product.eq_ignore_ascii_case(name));
    (more.is_none() && !name.contains(',') && !is_http).then(|| protocol.clone())
}

/// Sets the `X-Forwarded-*` headers for the upstream. The peer's own values stay if it is a trusted
/// proxy.
pub(in crate::sidecar) fn set_forwarded(
    headers: &mut HeaderMap,
    peer: Option<IpAddr>,
    trusted: &TrustedProxies,
) {
    let peer = peer.map(|address| address.to_canonical());
    if !peer.is_some_and(|peer| trusted.contains(peer)) {
        let claims: Vec<HeaderName> = headers
            .keys()
            .filter(|name| name.as_str().starts_with("x-forwarded-"))
            .cloned()
            .collect();
        for name in claims {
            headers.remove(name);
        }
    }
    if let Some(peer) = peer {
        let mut chain = joined(headers, &FORWARDED_FOR, b", ");
        if !chain.is_empty() {
            chain.extend_from_slice(b", ");
        }
        chain.extend_from_slice(peer.to_string().as_bytes());
        insert(headers, FORWARDED_FOR, &chain);
    }
    if !headers.contains_key(FORWARDED_PROTO) {
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
    }
    if !headers.contains_key(FORWARDED_HOST)
        && let Some(host) = headers.get(HOST).cloned()
    {
        headers.insert(FORWARDED_HOST, host);
    }
}

/// Joins the `Cookie` headers, which HTTP/2 splits for compression and HTTP/1.1 has once (RFC 9113,
/// 8.2.3).
pub(in crate::sidecar) fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_some() {
        let line = joined(headers, &COOKIE, b"; ");
        insert(headers, COOKIE, &line);
    }
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

fn joined(headers: &HeaderMap, name: &HeaderName, separator: &[u8]) -> Vec<u8> {
    let lines: Vec<&[u8]> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    lines.join(separator)
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &[u8]) {
    let value = HeaderValue::from_bytes(value).expect("header values joined are a header value");
    headers.insert(name, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[track_caller]
    fn check_stripped(
        lines: &[(&'static str, &'static str)],
        left: &[(&'static str, &'static str)],
    ) {
        let mut stripped = headers(lines);
        strip_hop_by_hop(&mut stripped);
        assert_eq!(stripped, headers(left));
    }

    #[test]
    fn what_belongs_to_one_connection_stays_there() {
        check_stripped(
            &[("connection", "keep-alive, x-mine"), ("keep-alive", "5"), ("x-mine", "1")],
            &[],
        );
        check_stripped(&[("connection", "close"), ("connection", "x-a"), ("x-a", "1")], &[]);
        check_stripped(&[("proxy", "http://evil"), ("proxy-authorization", "x")], &[]);
        check_stripped(&[("transfer-encoding", "chunked"), ("upgrade", "h2c")], &[]);
        check_stripped(&[("te", "gzip, Trailers;q=1")], &[]);
        check_stripped(&[("te", "gzip, Trailers")], &[("te", "trailers")]);
        check_stripped(&[("trailer", "x-sum")], &[("trailer", "x-sum")]);
    }

    #[test]
    fn nobody_can_have_the_host_or_the_length_taken_away() {
        let kept = [("host", "shop"), ("content-length", "3")];
        check_stripped(&[kept[0], kept[1], ("connection", "host, content-length, @")], &kept);
    }

    #[track_caller]
    fn check_upgrade(protocol: &'static str, passes: bool) {
        let request = headers(&[("connection", "Upgrade"), ("upgrade", protocol)]);
        assert_eq!(upgrade(&request).is_some(), passes, "{protocol}");
        assert_eq!(upgrade(&headers(&[("upgrade", protocol)])), None, "{protocol}");
    }

    #[test]
    fn no_tunnel_speaks_http_past_the_guard() {
        check_upgrade("websocket", true);
        check_upgrade("echo/1", true);
        check_upgrade("h2c", false);
        check_upgrade("H2C", false);
        check_upgrade("HTTP/2.0", false);
        check_upgrade("TLS/1.0", false);
        check_upgrade("websocket, h2c", false);
    }

    #[track_caller]
    fn check_forwarded(peer: &str, lines: &[(&'static str, &'static str)], seen: [&str; 3]) {
        let mut request = headers(lines);
        request.insert(HOST, HeaderValue::from_static("shop"));
        set_forwarded(&mut request, Some(peer.parse().unwrap()), &"10.0.0.0/8".parse().unwrap());
        let names = [FORWARDED_FOR, FORWARDED_PROTO, FORWARDED_HOST];
        assert_eq!(names.map(|name| request[name].to_str().unwrap().to_owned()), seen);
        let others = request.keys().filter(|name| name.as_str().starts_with("x-forwarded-"));
        assert_eq!(others.count(), 3 + usize::from(request.contains_key("x-forwarded-port")));
    }

    #[test]
    fn a_stranger_cannot_say_for_whom_it_forwards() {
        let claims = [
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-for", "5.6.7.8"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "bank"),
            ("x-forwarded-port", "443"),
        ];
        check_forwarded("9.9.9.9", &claims, ["9.9.9.9", "http", "shop"]);
        check_forwarded("::ffff:9.9.9.9", &claims, ["9.9.9.9", "http", "shop"]);
        let kept = ["1.2.3.4, 5.6.7.8, 10.0.0.1", "https", "bank"];
        check_forwarded("10.0.0.1", &claims, kept);
        check_forwarded("::ffff:10.0.0.1", &claims, kept);
        check_forwarded("10.0.0.1", &[], ["10.0.0.1", "http", "shop"]);
    }

    #[test]
    fn split_cookies_become_one_line() {
        let mut request = headers(&[("cookie", "a=1"), ("cookie", "b=2")]);
        join_cookies(&mut request);
        assert_eq!(request, headers(&[("cookie", "a=1; b=2")]));
    }
}
