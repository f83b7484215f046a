//! Forwards every request that is not a payment operation to the upstream, unchanged and streamed
//! both ways.

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
use http::{Request, Response, StatusCode, Uri, Version};
use http_body::Body;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower_service::Service;
use url::Url;

use super::activity::Limits;
use super::client_body::{ClientBody, ClientBodyError};
use super::limit_counters::{Limit, LimitCounters};
use super::process_mark::ProcessMark;
use super::responses::{RefusalContext, SidecarRefusal, UpstreamFault};
use super::server::{KEEPALIVE_INTERVAL, KEEPALIVE_RETRIES, PeerAddr};
use crate::caller::TrustedProxies;
use crate::error::Kind;
use crate::error::debug_like_display;
use crate::guard::request_head::check_transfer_coding;
use body::{ForwardedBody, ProxyBody};
use tunnel::{TunnelEnds, TunnelSlot};

/// The service that receives every other request: HTTP on this machine or in this pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream(Authority);

impl Upstream {
    /// Reads `http://host[:port]`.
    ///
    /// # Errors
    ///
    /// [`UpstreamError`] for another scheme, or a user, path, query or fragment: the proxy forwards
    /// paths as they are and adds no prefix.
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

/// The error of a URL that is not an upstream's.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct UpstreamError;

impl fmt::Display for UpstreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an upstream is http://host or http://host:port, without user, path or query")
    }
}

debug_like_display!(UpstreamError);

impl Error for UpstreamError {}

/// The service that forwards every request to the upstream, or answers 404 without one.
///
/// The client's `Host` stays; the configuration alone names the upstream. The proxy sets
/// `X-Forwarded-For`, `-Proto` and `-Host`, or keeps a trusted proxy's and appends the proxy's
/// address. An upgrade needs a connection that [`super::server::serve`] serves.
#[derive(Clone)]
pub struct Proxy(Arc<ProxyState>);

struct ProxyState {
    client: Client<HttpConnector, ForwardedBody>,
    upstream: Option<Upstream>,
    trusted: TrustedProxies,
    limits: Limits,
    mark: ProcessMark,
    places: Arc<Semaphore>,
}

impl Proxy {
    /// Forwards to `upstream` within `limits`, trusts the forwarded headers of peers in `trusted`,
    /// and puts `mark` on every request.
    #[must_use]
    pub fn new(
        upstream: Option<Upstream>,
        trusted: TrustedProxies,
        limits: Limits,
        mark: ProcessMark,
    ) -> Proxy {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_keepalive(Some(limits.keepalive));
        connector.set_keepalive_interval(Some(KEEPALIVE_INTERVAL));
        connector.set_keepalive_retries(Some(KEEPALIVE_RETRIES));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(UPSTREAM_IDLE)
            .build(connector);
        let places = Arc::new(Semaphore::new(limits.upstreams));
        Proxy(Arc::new(ProxyState { client, upstream, trusted, limits, mark, places }))
    }
}

/// The upstream is near: a connection that takes longer will fail.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Less than the 5 s after which Node, the fastest of the usual servers, closes an idle connection:
/// a request into a closing connection is lost and must not be sent twice.
const UPSTREAM_IDLE: Duration = Duration::from_secs(4);

impl Service<Request<ClientBody>> for Proxy {
    type Response = Response<ProxyBody>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<ProxyBody>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ClientBody>) -> Self::Future {
        let state = Arc::clone(&self.0);
        Box::pin(async move {
            let refusal_context = RefusalContext::of(request.headers());
            let answered = state.forward(request).await;
            Ok(answered
                .unwrap_or_else(|refusal| refusal_context.refuse(refusal).map(ProxyBody::Own)))
        })
    }
}

impl ProxyState {
    async fn forward(
        &self,
        mut request: Request<ClientBody>,
    ) -> Result<Response<ProxyBody>, SidecarRefusal> {
        let upstream = self.upstream.as_ref().ok_or(SidecarRefusal::Of(Kind::NotFound))?;
        check_forwardable(&request)?;
        let place = Arc::clone(&self.places).try_acquire_owned();
        let counters = &self.limits.counters;
        let place = place.map_err(|_| {
            counters.count(Limit::UpstreamConnections);
            SidecarRefusal::Upstream(UpstreamFault::Busy)
        })?;
        let upgrade = UpgradeRequest::of(&mut request, &self.limits);
        let progress = request.body().progress();
        let request = self.outgoing(request, upstream, upgrade.as_ref());
        let response = tokio::select! {
            response = self.client.request(request) => {
                response.map_err(|error| refusal_for(&error, upstream))?
            }
            () = progress.is_quiet_for(self.limits.upstream) => {
                counters.count(Limit::UpstreamTimeout);
                tracing::warn!(upstream = %upstream.0, "the upstream did not answer in time");
                return Err(SidecarRefusal::Upstream(UpstreamFault::Slow));
            }
        };
        incoming(response, upgrade, place)
    }

    fn outgoing(
        &self,
        request: Request<ClientBody>,
        upstream: &Upstream,
        upgrade: Option<&UpgradeRequest>,
    ) -> Request<ForwardedBody> {
        let (mut parts, body) = request.into_parts();
        let peer = parts.extensions.get::<PeerAddr>().map(|peer| -> IpAddr { peer.0.ip() });
        headers::strip_hop_by_hop(&mut parts.headers);
        if parts.version == Version::HTTP_2 {
            headers::join_cookies(&mut parts.headers);
        }
        // HTTP/2, and HTTP/1.1 in absolute form, name the host in the target, which overrides the
        // header (RFC 9112, 3.2.2).
        let host = parts.uri.authority().map(|host| HeaderValue::from_str(host.as_str()));
        if let Some(Ok(host)) = host {
            parts.headers.insert(HOST, host);
        }
        headers::set_forwarded(&mut parts.headers, peer, &self.trusted);
        headers::strip_announced(&mut parts.headers);
        self.mark.add_to(&mut parts.headers);
        if let Some(upgrade) = upgrade {
            parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            parts.headers.insert(UPGRADE, upgrade.protocol.clone());
        }
        match parts.headers.get_mut(CONTENT_LENGTH) {
            // `02` is 2 here, and need not be at the upstream.
            Some(length) => *length = body.size_hint().exact().map_or(length.clone(), Into::into),
            // Without a length or coding, hyper sends a GET without its body.
            None if !body.is_end_stream() => {
                parts.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            }
            None => {}
        }
        parts.uri = target(upstream, &parts.uri);
        parts.version = Version::HTTP_11;
        Request::from_parts(parts, ForwardedBody(body))
    }
}

/// Refuses a request that would be another one at the upstream.
fn check_forwardable(request: &Request<ClientBody>) -> Result<(), SidecarRefusal> {
    // An old client may send no `Host`; the upstream would get its own address for one.
    if request.uri().authority().is_none() && !request.headers().contains_key(HOST) {
        return Err(SidecarRefusal::Of(Kind::BadRequest));
    }
    // The proxy would forward a coding under `chunked` without its name.
    check_transfer_coding(request.headers()).map_err(|_| SidecarRefusal::Ambiguous)
}

/// The request's path and query, byte for byte, at the upstream.
fn target(upstream: &Upstream, requested: &Uri) -> Uri {
    let mut parts = Parts::default();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(upstream.0.clone());
    parts.path_and_query = Some(
        requested.path_and_query().cloned().unwrap_or_else(|| "/".parse().expect("is a path")),
    );
    Uri::from_parts(parts).expect("scheme, authority and path make a URI")
}

/// A request to upgrade to another protocol.
struct UpgradeRequest {
    protocol: HeaderValue,
    client: OnUpgrade,
    slot: TunnelSlot,
    idle: Duration,
    counters: LimitCounters,
}

impl UpgradeRequest {
    fn of(request: &mut Request<ClientBody>, limits: &Limits) -> Option<UpgradeRequest> {
        // HTTP/1.0 has no upgrades (RFC 9110, 7.8).
        let is_http_11 = request.version() == Version::HTTP_11;
        let protocol = headers::upgrade(request.headers()).filter(|_| is_http_11)?;
        let slot = request.extensions_mut().remove::<TunnelSlot>()?;
        let (idle, counters) = (limits.tunnel, limits.counters.clone());
        Some(UpgradeRequest { protocol, client: hyper::upgrade::on(request), slot, idle, counters })
    }
}

fn incoming(
    mut response: Response<Incoming>,
    upgrade: Option<UpgradeRequest>,
    place: OwnedSemaphorePermit,
) -> Result<Response<ProxyBody>, SidecarRefusal> {
    if !headers::settle_framing(response.headers_mut()) {
        tracing::warn!("the upstream framed its answer in a way that servers read differently");
        return Err(SidecarRefusal::Upstream(UpstreamFault::Failed));
    }
    let mut place = Some(place);
    let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let protocol = headers::upgrade(response.headers());
    headers::strip_hop_by_hop(response.headers_mut());
    *response.version_mut() = Version::HTTP_11;
    if switches {
        let (Some(upgrade), Some(protocol)) = (upgrade, protocol) else {
            return Err(SidecarRefusal::Upstream(UpstreamFault::Failed));
        };
        let upstream = hyper::upgrade::on(&mut response);
        let UpgradeRequest { client, idle, counters, .. } = upgrade;
        let ends = TunnelEnds { client, upstream, idle, counters };
        upgrade.slot.join(ends, place.take());
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
        response.headers_mut().insert(UPGRADE, protocol);
    }
    Ok(response.map(|body| ProxyBody::Upstream(body, place)))
}

fn refusal_for(error: &legacy::Error, upstream: &Upstream) -> SidecarRefusal {
    let upstream = &upstream.0;
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    let mut last = String::new();
    let mut head_too_large = false;
    while let Some(error) = cause {
        match error.downcast_ref::<ClientBodyError>() {
            Some(ClientBodyError::TooSlow) => return SidecarRefusal::BodySlow,
            Some(ClientBodyError::Broken(_)) => return SidecarRefusal::BodyBroken,
            None => last = error.to_string(),
        }
        head_too_large |=
            error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse_too_large);
        cause = error.source();
    }
    if head_too_large {
        tracing::warn!(%upstream, cause = last, "the head of the upstream's answer is too large");
        return SidecarRefusal::Upstream(UpstreamFault::HeadTooLarge);
    }
    if error.is_connect() {
        tracing::warn!(%upstream, cause = last, "the upstream cannot be reached");
        return SidecarRefusal::Upstream(UpstreamFault::Unreachable);
    }
    tracing::warn!(%upstream, cause = last, "the upstream sent no valid answer");
    SidecarRefusal::Upstream(UpstreamFault::Failed)
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
        assert_eq!(
            upstream.ok().map(|upstream| upstream.0.to_string()).as_deref(),
            authority,
            "{url}"
        );
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
        assert!(UpstreamError.to_string().contains("http://host"), "{UpstreamError}");
    }

    #[track_caller]
    fn check_target(refusal_context: &'static str, at_upstream: &str) {
        let upstream = Upstream("127.0.0.1:3000".parse().unwrap());
        let target = target(&upstream, &Uri::from_static(refusal_context));
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
