//! What is no payment operation goes to the service behind: unchanged, unread, both ways at once.

pub(super) mod body;
pub(super) mod headers;
pub(super) mod tunnel;

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderValue, TRANSFER_ENCODING, UPGRADE};
use http::uri::{Authority, Parts, Scheme};
use http::{Method, Request, Response, StatusCode, Uri, Version};
use http_body::Body;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tower_service::Service;
use url::Url;

use super::responses::{Asked, Refusal};
use super::server::PeerAddr;
use crate::caller::TrustedProxies;
use crate::error::Kind;
use body::{ClientFault, Paced, ProxyBody};
use tunnel::TunnelSlot;

/// Where requests go that are not ours: an HTTP service on this machine or in this pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream(Authority);

impl Upstream {
    /// Reads `http://host[:port]`.
    ///
    /// # Errors
    ///
    /// Another scheme, or a user, path, query or fragment: paths go through as they are, so there
    /// is none to put before them.
    pub fn from_url(url: &Url) -> Result<Upstream, UpstreamError> {
        let plain = url.username().is_empty()
            && url.password().is_none()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none();
        let host = url.host_str().filter(|_| plain && url.scheme() == "http");
        let host = host.ok_or(UpstreamError)?;
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        authority.parse().map(Upstream).map_err(|_| UpstreamError)
    }
}

/// Not the URL of an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpstreamError;

impl fmt::Display for UpstreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an upstream is http://host or http://host:port, without user, path or query")
    }
}

impl Error for UpstreamError {}

/// The service that forwards every request to the upstream, or answers 404 without one.
///
/// The client's `Host` stays; the upstream is where the configuration says, whatever the request
/// names. `X-Forwarded-For`, `-Proto` and `-Host` are ours, or a trusted proxy's with its address
/// appended. An upgrade needs the connection to be served by [`super::server::serve`].
#[derive(Clone)]
pub struct Proxy(Arc<Shared>);

struct Shared {
    client: Client<HttpConnector, Paced>,
    upstream: Option<Upstream>,
    trusted: TrustedProxies,
    stall: Duration,
}

impl Proxy {
    /// Forwards to `upstream`; believes the forwarded headers of peers in `trusted`; gives up on
    /// a client whose body does not go on for `stall`.
    #[must_use]
    pub fn new(upstream: Option<Upstream>, trusted: TrustedProxies, stall: Duration) -> Proxy {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(UPSTREAM_IDLE)
            .build(connector);
        Proxy(Arc::new(Shared { client, upstream, trusted, stall }))
    }
}

/// The upstream is near; a connection that takes longer will not come.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Less than the 5 s after which Node, the shortest of the usual ones, closes an idle connection:
/// what is sent into a closing connection is lost and must not be sent twice.
const UPSTREAM_IDLE: Duration = Duration::from_secs(4);

impl Service<Request<Incoming>> for Proxy {
    type Response = Response<ProxyBody>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<ProxyBody>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let shared = Arc::clone(&self.0);
        Box::pin(async move {
            let asked = Asked::of(request.headers());
            let answered = shared.forward(request).await;
            Ok(answered.unwrap_or_else(|refusal| asked.refuse(refusal).map(ProxyBody::Own)))
        })
    }
}

impl Shared {
    async fn forward(
        &self,
        mut request: Request<Incoming>,
    ) -> Result<Response<ProxyBody>, Refusal> {
        let upstream = self.upstream.as_ref().ok_or(Refusal::Of(Kind::NotFound))?;
        unambiguous(&request)?;
        let upgrade = Upgrading::of(&mut request);
        let request = self.outgoing(request, upstream, upgrade.as_ref());
        let response = self.client.request(request).await.map_err(|error| refusal_for(&error))?;
        incoming(response, upgrade)
    }

    fn outgoing(
        &self,
        request: Request<Incoming>,
        upstream: &Upstream,
        upgrade: Option<&Upgrading>,
    ) -> Request<Paced> {
        let (mut parts, body) = request.into_parts();
        let peer = parts.extensions.get::<PeerAddr>().map(|peer| -> IpAddr { peer.0.ip() });
        headers::strip_hop_by_hop(&mut parts.headers);
        if parts.version == Version::HTTP_2 {
            headers::join_cookies(&mut parts.headers);
        }
        // HTTP/2, and HTTP/1.1 in absolute form, name the host in the target, and that is the
        // one that counts (RFC 9112, 3.2.2).
        if let Some(host) = parts.uri.authority().and_then(host_of) {
            parts.headers.insert(HOST, host);
        }
        headers::set_forwarded(&mut parts.headers, peer, &self.trusted);
        if let Some(upgrade) = upgrade {
            parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            parts.headers.insert(UPGRADE, upgrade.protocol.clone());
        }
        // hyper takes a GET for one without a body unless told.
        if !body.is_end_stream() && !parts.headers.contains_key(CONTENT_LENGTH) {
            parts.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        parts.uri = target(upstream, &parts.uri);
        parts.version = Version::HTTP_11;
        Request::from_parts(parts, Paced::new(body, self.stall))
    }
}

/// Refuses what another reader could take for something else.
fn unambiguous(request: &Request<Incoming>) -> Result<(), Refusal> {
    if request.method() == Method::CONNECT {
        return Err(Refusal::Method("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
    }
    let hosts = request.headers().get_all(HOST).iter().count();
    let mut codings = request.headers().get_all(TRANSFER_ENCODING).iter();
    // A coding under `chunked` would go on without its name.
    let chunked = codings.next().is_none_or(|it| it.as_bytes().eq_ignore_ascii_case(b"chunked"));
    match hosts <= 1 && chunked && codings.next().is_none() {
        true => Ok(()),
        false => Err(Refusal::Ambiguous),
    }
}

/// The request's path and query, byte for byte, at the upstream.
fn target(upstream: &Upstream, asked: &Uri) -> Uri {
    let mut parts = Parts::default();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(upstream.0.clone());
    parts.path_and_query =
        Some(asked.path_and_query().cloned().unwrap_or_else(|| "/".parse().expect("is a path")));
    Uri::from_parts(parts).expect("scheme, authority and path make a URI")
}

/// The authority without a user.
fn host_of(authority: &Authority) -> Option<HeaderValue> {
    let host = authority.as_str().rsplit('@').next().unwrap_or_default();
    HeaderValue::from_str(host).ok()
}

/// A request that asks to go on with another protocol.
struct Upgrading {
    protocol: HeaderValue,
    client: OnUpgrade,
    slot: TunnelSlot,
}

impl Upgrading {
    fn of(request: &mut Request<Incoming>) -> Option<Upgrading> {
        let protocol = headers::upgrade(request.headers())?;
        let slot = request.extensions_mut().remove::<TunnelSlot>()?;
        Some(Upgrading { protocol, client: hyper::upgrade::on(request), slot })
    }
}

fn incoming(
    mut response: Response<Incoming>,
    upgrading: Option<Upgrading>,
) -> Result<Response<ProxyBody>, Refusal> {
    let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let protocol = headers::upgrade(response.headers());
    headers::strip_hop_by_hop(response.headers_mut());
    *response.version_mut() = Version::HTTP_11;
    if switches {
        let (Some(upgrading), Some(protocol)) = (upgrading, protocol) else {
            return Err(Refusal::UpstreamFailed);
        };
        let upstream = hyper::upgrade::on(&mut response);
        upgrading.slot.join(upgrading.client, upstream);
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
        response.headers_mut().insert(UPGRADE, protocol);
    }
    Ok(response.map(ProxyBody::Upstream))
}

fn refusal_for(error: &legacy::Error) -> Refusal {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    let mut last = String::new();
    while let Some(error) = cause {
        match error.downcast_ref::<ClientFault>() {
            Some(ClientFault::TooSlow) => return Refusal::BodySlow,
            Some(ClientFault::Broken(_)) => return Refusal::BodyBroken,
            None => last = error.to_string(),
        }
        cause = error.source();
    }
    if error.is_connect() {
        tracing::warn!(cause = last, "the upstream cannot be reached");
        return Refusal::UpstreamUnreachable;
    }
    tracing::warn!(cause = last, "the upstream gave no proper answer");
    Refusal::UpstreamFailed
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("upstream", &self.0.upstream).finish_non_exhaustive()
    }
}

impl From<Full<Bytes>> for ProxyBody {
    fn from(body: Full<Bytes>) -> ProxyBody {
        ProxyBody::Own(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_upstream(url: &str, authority: Option<&str>) {
        let upstream = Upstream::from_url(&url.parse().unwrap());
        assert_eq!(upstream.ok().map(|it| it.0.to_string()).as_deref(), authority, "{url}");
    }

    #[test]
    fn an_upstream_is_a_host_and_nothing_else() {
        check_upstream("http://127.0.0.1:3000", Some("127.0.0.1:3000"));
        check_upstream("http://[::1]:3000/", Some("[::1]:3000"));
        check_upstream("http://shop", Some("shop"));
        check_upstream("https://shop", None);
        check_upstream("http://me@shop", None);
        check_upstream("http://shop/base", None);
        check_upstream("http://shop/?a", None);
        check_upstream("http://shop/#a", None);
        check_upstream("unix:/run/shop", None);
    }

    #[track_caller]
    fn check_target(asked: &'static str, at_upstream: &str) {
        let upstream = Upstream("127.0.0.1:3000".parse().unwrap());
        let target = target(&upstream, &Uri::from_static(asked));
        assert_eq!(target.authority(), Some(&upstream.0));
        assert_eq!(target.path_and_query().unwrap().as_str(), at_upstream);
    }

    #[test]
    fn the_target_names_no_other_upstream_and_keeps_its_bytes() {
        check_target("/a%2Fb//c;x?y=%zz", "/a%2Fb//c;x?y=%zz");
        check_target("//evil.example/x", "//evil.example/x");
        check_target("http://evil.example/x?y", "/x?y");
        check_target("/./../a/%2e%2e/", "/./../a/%2e%2e/");
        check_target("/?", "/?");
        check_target("*", "*");
    }
}
