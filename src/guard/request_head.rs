//! Which request lines and `Host` headers the guard accepts, before anything else reads a request.
//!
//! Two servers must not disagree about what a request asks for, and of whom: RFC 9112, 3.2, RFC
//! 9110, 4.2 and 7.2, and RFC 9113, 8.3.1.

use std::net::Ipv6Addr;

use http::header::{HOST, HeaderValue, TRANSFER_ENCODING};
use http::{HeaderMap, Method, Request, Uri, Version};

use crate::error::{Error, Kind};

/// The methods that the guard does not refuse by their name.
pub const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Checks method, target and `Host` of a request that came over the network.
///
/// # Errors
///
/// [`Kind::BadRequest`]; [`Kind::MethodNotAllowed`] for `TRACE`, which would show a page the
/// headers that proxies add, and for `CONNECT`, which asks for a tunnel past the guard.
pub fn check_request_head<B>(request: &Request<B>) -> Result<(), Error> {
    if [Method::TRACE, Method::CONNECT].contains(request.method()) {
        return Err(Error::new(Kind::MethodNotAllowed));
    }
    let is_valid = is_valid_target(request.method(), request.uri()) && is_valid_host(request);
    if is_valid { Ok(()) } else { Err(Error::new(Kind::BadRequest)) }
}

/// Checks the `Host` of a request that an application passes on. A request that no network carried
/// has none.
///
/// # Errors
///
/// [`Kind::BadRequest`] for more than one, or an invalid one.
pub fn check_host(headers: &HeaderMap) -> Result<(), Error> {
    match one_host(headers) {
        Ok(_) => Ok(()),
        Err(InvalidHost) => Err(Error::new(Kind::BadRequest)),
    }
}

/// Checks the coding of a request's body, which `hyper` has removed: `chunked`, once. Under another
/// one the body is not what it seems (RFC 9112, 6.1: no sender applies `chunked` twice).
///
/// # Errors
///
/// [`Kind::BadRequest`].
pub fn check_transfer_coding(headers: &HeaderMap) -> Result<(), Error> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let is_chunked =
        codings.next().is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
    match is_chunked && codings.next().is_none() {
        true => Ok(()),
        false => Err(Error::new(Kind::BadRequest)),
    }
}

/// A path; `*` with `OPTIONS`; or a whole http URL without a user.
fn is_valid_target(method: &Method, uri: &Uri) -> bool {
    match (uri.scheme_str(), uri.authority()) {
        (None, None) if uri.path() == "*" => method == Method::OPTIONS,
        (None, None) => uri.path().starts_with('/'),
        // `DELETE orders`, `GET evil.example:80`: only CONNECT has such a target.
        (None, Some(_)) => false,
        (Some("http" | "https"), Some(authority)) => {
            let is_path = uri.path().starts_with('/');
            let is_whole_server = uri.path() == "*" && method == Method::OPTIONS;
            (is_path || is_whole_server) && is_host(authority.as_str())
        }
        (Some(_), _) => false,
    }
}

fn is_valid_host<B>(request: &Request<B>) -> bool {
    let Ok(host) = one_host(request.headers()) else { return false };
    let authority = request.uri().authority();
    match (host, authority, request.version()) {
        // A target with an authority overrides the header in HTTP/1.1; in HTTP/2 they are equal.
        (Some(host), Some(authority), Version::HTTP_2) => {
            host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes())
        }
        (Some(_), _, _) => true,
        (None, Some(_), version) => version == Version::HTTP_2,
        (None, None, version) => version <= Version::HTTP_10,
    }
}

struct InvalidHost;

fn one_host(headers: &HeaderMap) -> Result<Option<&HeaderValue>, InvalidHost> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next();
    let is_valid = host.is_none_or(|host| host.to_str().is_ok_and(is_host));
    if is_valid && hosts.next().is_none() { Ok(host) } else { Err(InvalidHost) }
}

/// `name[:port]`, `[address][:port]`. The characters of a name are those of DNS, and `_`, `~`;
/// the others of RFC 3986 (`,`, `%2f`, `;`) occur in no host and end up in logs and redirects. No
/// label is empty but the root's: servers that name folders by hosts would read `..` as a path.
fn is_host(text: &str) -> bool {
    let after = match text.strip_prefix('[') {
        Some(rest) => {
            let Some((address, after)) = rest.split_once(']') else { return false };
            if address.parse::<Ipv6Addr>().is_err() {
                return false;
            }
            after
        }
        None => {
            let end = text.find(':').unwrap_or(text.len());
            let (name, after) = text.split_at(end);
            let plain =
                name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
            let labels = name.strip_suffix('.').unwrap_or(name);
            if !plain || labels.split('.').any(str::is_empty) {
                return false;
            }
            after
        }
    };
    let Some(port) = after.strip_prefix(':') else { return after.is_empty() };
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    digits && (port.is_empty() || port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_a_target_of_options_alone_in_http_2_too() {
        let target = Uri::builder().scheme("http").authority("shop").path_and_query("*");
        let target = target.build().unwrap();
        assert!(is_valid_target(&Method::OPTIONS, &target));
        assert!(!is_valid_target(&Method::GET, &target));
        assert!(is_valid_target(&Method::GET, &"http://shop".parse().unwrap()));
    }

    #[track_caller]
    fn check_head(method: &str, target: &str, host: Option<&str>, passes: bool) {
        let mut request = Request::builder().method(method).uri(target);
        if let Some(host) = host {
            request = request.header(HOST, host);
        }
        let checked = check_request_head(&request.body(()).unwrap());
        assert_eq!(checked.is_ok(), passes, "{method} {target} {host:?}");
    }

    #[test]
    fn a_host_is_a_name_or_an_address_and_a_port() {
        for good in ["shop", "shop:80", "shop:", "a-b.c_d~e.example.", "127.0.0.1:1", "[::1]:80"] {
            check_head("GET", "/", Some(good), true);
        }
        for bad in [
            "",
            ":80",
            ".",
            "..",
            ".a",
            "a..b:80",
            "a..",
            "a b",
            "evil.com/path",
            "u@h",
            "http://x",
            "a,b",
            "[::1",
            "[::1]x",
            "[x]",
            "[fe80::1%25eth0]",
            "::1",
            "a:b",
            "a:99999",
            "a:+1",
            "a:80:80",
            "a?b",
            "a#b",
            "a\\b",
            "%41",
            "a;b",
            "a\tb",
            "a\"b",
            "<a>",
        ] {
            check_head("GET", "/", Some(bad), false);
        }
        check_head("GET", "/", None, false);
        check_head("GET", "http://shop/", None, false);
    }

    #[test]
    fn a_target_is_a_path_or_a_whole_http_url() {
        let host = Some("shop");
        for good in ["/", "//x", "/a?b", "http://evil.example:81/x", "https://shop/", "HTTP://a/"] {
            check_head("GET", good, host, true);
        }
        check_head("OPTIONS", "*", host, true);
        for bad in ["*", "orders", "evil.example:80", "http://u@evil/x", "ftp://evil/x"] {
            check_head("GET", bad, host, false);
        }
        check_head("TRACE", "/", host, false);
        check_head("CONNECT", "shop:80", host, false);
        check_head("trace", "/", host, true);
    }

    #[test]
    fn old_requests_need_no_host_and_those_of_http_2_have_one_host() {
        let request = |version, target: &str, host: Option<&str>| {
            let mut request = Request::builder().version(version).uri(target);
            if let Some(host) = host {
                request = request.header(HOST, host);
            }
            check_request_head(&request.body(()).unwrap()).is_ok()
        };
        assert!(request(Version::HTTP_10, "/", None));
        assert!(request(Version::HTTP_2, "http://shop/", None));
        assert!(request(Version::HTTP_2, "http://shop/", Some("SHOP")));
        assert!(!request(Version::HTTP_2, "http://shop/", Some("bank")));
        assert!(!request(Version::HTTP_2, "/", None));
        assert!(request(Version::HTTP_11, "http://bank/", Some("shop")));
    }

    #[test]
    fn an_application_may_have_removed_the_host_and_has_not_two() {
        let mut headers = HeaderMap::new();
        assert!(check_host(&headers).is_ok());
        headers.append(HOST, HeaderValue::from_static("shop"));
        assert!(check_host(&headers).is_ok());
        headers.append(HOST, HeaderValue::from_static("shop"));
        assert!(check_host(&headers).is_err());
    }
}
