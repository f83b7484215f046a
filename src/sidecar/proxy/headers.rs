//! The headers of a request or response that the proxy forwards.

use std::net::IpAddr;

use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, FORWARDED, HOST, HeaderMap, HeaderName,
    HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};

use crate::caller::{TrustedProxies, client_ip};
use crate::sidecar::process_mark::MARK;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

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
    for name in &HOP_BY_HOP {
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

/// The headers of one connection.
const HOP_BY_HOP: [HeaderName; 10] = [
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
];

/// Whether the proxy sets or removes the header `name`, as an upstream reads it: CGI and WSGI write
/// both `-` and `_` as `_`.
fn is_ours(name: &str) -> bool {
    let name = name.replace('_', "-");
    name.starts_with("x-forwarded-")
        || [FORWARDED, REAL_IP, MARK].iter().any(|ours| ours.as_str() == name)
        || HOP_BY_HOP.iter().any(|ours| ours.as_str() == name)
}

/// Whether the proxy's headers that describe the client have this name.
fn describes_client(name: &HeaderName) -> bool {
    name.as_str().starts_with("x-forwarded-") || [FORWARDED, REAL_IP].contains(name)
}

/// Removes the trailers that a client may not set: they would be taken for headers of the proxy,
/// or for those that frame, route or authorise the request (RFC 9110, 6.5.1).
pub(in crate::sidecar) fn strip_trailers(trailers: &mut HeaderMap) {
    remove_where(trailers, |name| !may_be_trailer(name.as_str()));
}

/// Removes the announcements of such trailers; hyper sends the announced ones alone.
pub(in crate::sidecar) fn strip_announced(headers: &mut HeaderMap) {
    let announced = joined(headers, &TRAILER, b",");
    let names = announced.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let kept: Vec<&[u8]> = names
        .filter(|name| {
            let name = String::from_utf8_lossy(name).to_ascii_lowercase();
            !name.is_empty() && may_be_trailer(&name)
        })
        .collect();
    match kept.is_empty() {
        true => drop(headers.remove(TRAILER)),
        false => insert(headers, TRAILER, &kept.join(&b", "[..])),
    }
}

fn may_be_trailer(name: &str) -> bool {
    let framing = [HOST, CONTENT_LENGTH, TRAILER, AUTHORIZATION, COOKIE];
    let folded = name.replace('_', "-");
    !is_ours(name) && framing.iter().all(|framing| framing.as_str() != folded)
}

fn remove_where(headers: &mut HeaderMap, which: impl Fn(&HeaderName) -> bool) {
    let names: Vec<HeaderName> = headers.keys().filter(|name| which(name)).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// Sets the headers that describe the client for the upstream. The peer's own values stay if it is
/// a trusted proxy; names with `_` in place of `-` stay from nobody.
pub(in crate::sidecar) fn set_forwarded(
    headers: &mut HeaderMap,
    peer: Option<IpAddr>,
    trusted: &TrustedProxies,
) {
    let peer = peer.map(|address| address.to_canonical());
    let from_proxy = peer.is_some_and(|peer| trusted.contains(peer));
    remove_where(headers, |name| {
        let folded = name.as_str().contains('_') && is_ours(name.as_str());
        folded || (!from_proxy && describes_client(name))
    });
    let client = client_ip(peer, headers, trusted);
    if let Some(peer) = peer {
        append(headers, FORWARDED_FOR, &peer.to_string());
    }
    if !headers.contains_key(FORWARDED_PROTO) {
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
    }
    let host = headers.get(HOST).cloned();
    if !headers.contains_key(FORWARDED_HOST)
        && let Some(host) = host.clone()
    {
        headers.insert(FORWARDED_HOST, host);
    }
    if !headers.contains_key(REAL_IP)
        && let Some(client) = client
    {
        insert(headers, REAL_IP, client.to_string().as_bytes());
    }
    if let Some(peer) = peer {
        append(headers, FORWARDED, &forwarded(peer, host.as_ref()));
    }
}

/// One element of `Forwarded` (RFC 7239, 4).
fn forwarded(peer: IpAddr, host: Option<&HeaderValue>) -> String {
    let host = host.and_then(|host| host.to_str().ok()).unwrap_or_default();
    match peer {
        IpAddr::V4(peer) => format!("for={peer};host=\"{host}\";proto=http"),
        IpAddr::V6(peer) => format!("for=\"[{peer}]\";host=\"{host}\";proto=http"),
    }
}

/// Appends an element to the list that `name` holds, in one line.
fn append(headers: &mut HeaderMap, name: HeaderName, element: &str) {
    let mut list = joined(headers, &name, b", ");
    if !list.is_empty() {
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(element.as_bytes());
    insert(headers, name, &list);
}

/// Checks a response's framing: `chunked` alone, or one length (RFC 9112, 6.3). hyper reads some
/// framings that the response's next reader would read differently.
///
/// Whether the framing is valid; a length beside `chunked` is removed, a repeated one is one.
pub(in crate::sidecar) fn settle_framing(headers: &mut HeaderMap) -> bool {
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
        let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
        let is_chunked =
            codings.next().is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"chunked"));
        return is_chunked && codings.next().is_none();
    }
    let lengths = joined(headers, &CONTENT_LENGTH, b",");
    let mut lengths = lengths.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let first = lengths.next().unwrap_or_default().to_vec();
    if lengths.any(|length| length != first) {
        return false;
    }
    if !first.is_empty() {
        insert(headers, CONTENT_LENGTH, &first);
    }
    true
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
        let others = request.keys().filter(|name| describes_client(name) || is_ours(name.as_str()));
        assert_eq!(others.count(), 5 + usize::from(request.contains_key("x-forwarded-port")));
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
    fn no_other_spelling_of_our_headers_reaches_the_upstream() {
        let claims = [
            ("x_forwarded_for", "1.2.3.4"),
            ("x-forwarded_proto", "https"),
            ("x_real_ip", "1.2.3.4"),
            ("x_paygate_via", "1"),
            ("transfer_encoding", "chunked"),
            ("keep_alive", "5"),
        ];
        check_forwarded("9.9.9.9", &claims, ["9.9.9.9", "http", "shop"]);
        check_forwarded("10.0.0.1", &claims, ["10.0.0.1", "http", "shop"]);
    }

    #[track_caller]
    fn check_client(peer: &str, lines: &[(&'static str, &'static str)], seen: [&str; 2]) {
        let mut request = headers(lines);
        request.insert(HOST, HeaderValue::from_static("shop:80"));
        set_forwarded(&mut request, Some(peer.parse().unwrap()), &"10.0.0.0/8".parse().unwrap());
        assert_eq!([&request[REAL_IP], &request[FORWARDED]], seen);
    }

    #[test]
    fn real_ip_and_forwarded_are_the_peers_or_a_trusted_proxys() {
        let claims = [("x-real-ip", "1.2.3.4"), ("forwarded", "for=1.2.3.4")];
        let own = "for=9.9.9.9;host=\"shop:80\";proto=http";
        check_client("9.9.9.9", &claims, ["9.9.9.9", own]);
        check_client("::1", &[], ["::1", "for=\"[::1]\";host=\"shop:80\";proto=http"]);
        let appended = "for=1.2.3.4, for=10.0.0.1;host=\"shop:80\";proto=http";
        check_client("10.0.0.1", &claims, ["1.2.3.4", appended]);
        let added = "for=10.0.0.1;host=\"shop:80\";proto=http";
        check_client("10.0.0.1", &[("x-forwarded-for", "8.8.8.8")], ["8.8.8.8", added]);
    }

    #[test]
    fn trailers_are_no_headers_of_ours() {
        let names = ["x-forwarded-for", "x_real_ip", "host", "authorization", "x-sum"];
        let mut trailers = headers(&names.map(|name| (name, "1")));
        strip_trailers(&mut trailers);
        assert_eq!(trailers, headers(&[("x-sum", "1")]));
        let mut request = headers(&[("trailer", "X-Forwarded-For, x-sum"), ("trailer", "Host")]);
        strip_announced(&mut request);
        assert_eq!(request, headers(&[("trailer", "x-sum")]));
        let mut request = headers(&[("trailer", "x-forwarded-for")]);
        strip_announced(&mut request);
        assert!(request.is_empty());
    }

    #[track_caller]
    fn check_framing(
        lines: &[(&'static str, &'static str)],
        settled: Option<&[(&'static str, &'static str)]>,
    ) {
        let mut response = headers(lines);
        let is_valid = settle_framing(&mut response);
        assert_eq!(is_valid, settled.is_some(), "{lines:?}");
        if let Some(settled) = settled {
            assert_eq!(response, headers(settled));
        }
    }

    #[test]
    fn a_response_has_one_length_or_is_chunked() {
        let chunked = ("transfer-encoding", "Chunked");
        check_framing(&[("content-length", "3"), chunked], Some(&[chunked]));
        check_framing(&[("content-length", "2, 2")], Some(&[("content-length", "2")]));
        check_framing(&[("content-length", "2, 3")], None);
        check_framing(&[("content-length", "2,")], None);
        check_framing(&[], Some(&[]));
        for coding in ["gzip, chunked", "gzip", "identity", "chunked, chunked", ""] {
            check_framing(&[("transfer-encoding", coding)], None);
        }
        check_framing(&[chunked, chunked], None);
    }

    #[test]
    fn split_cookies_become_one_line() {
        let mut request = headers(&[("cookie", "a=1"), ("cookie", "b=2")]);
        join_cookies(&mut request);
        assert_eq!(request, headers(&[("cookie", "a=1; b=2")]));
    }
}
