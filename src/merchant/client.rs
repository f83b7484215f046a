//! HTTP to the shop's own services, at addresses that the configuration names.
//!
//! Such a service may use plain HTTP on any host: the network between is the shop's. The client
//! follows no redirect and ignores the system's proxy settings, so that a request goes to no other
//! host; it bounds a response in size and time.

use std::error::Error as _;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use reqwest::Client;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use url::Url;

/// The most bytes of a response's body.
pub(crate) const RESPONSE_BYTES_MAX: usize = 64 * 1024;

/// A client of the shop's own services. Cheap to clone.
#[derive(Clone)]
pub(crate) struct MerchantHttp {
    client: Client,
    timeout: Duration,
}

/// A service's response of any status.
#[derive(Debug)]
pub(crate) struct MerchantResponse {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
}

impl MerchantHttp {
    /// A client for URLs with the scheme of `url`; it opens no connection yet. A whole exchange
    /// takes at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`RequestFailed`] for https, where the system has no root certificates.
    pub(crate) fn new(url: &Url, timeout: Duration) -> Result<MerchantHttp, RequestFailed> {
        let builder = Client::builder()
            .user_agent(USER_AGENT)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .dns_resolver(Arc::new(MerchantResolver))
            .no_proxy();
        // Plain connections work where no root certificates are installed.
        let builder = match url.scheme() {
            "https" => builder.https_only(true),
            _ => builder.tls_certs_only([]),
        };
        let client = builder.build().map_err(|error| RequestFailed(describe_error(error)))?;
        Ok(MerchantHttp { client, timeout })
    }

    /// POSTs `body` with `headers`.
    ///
    /// # Errors
    ///
    /// [`RequestFailed`] without a whole response in time. The service may have received the
    /// request.
    pub(crate) async fn post(
        &self,
        url: &Url,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<MerchantResponse, RequestFailed> {
        let request = self.client.post(url.clone()).headers(headers).body(body);
        let exchange = async {
            let response =
                request.send().await.map_err(|error| RequestFailed(describe_error(error)))?;
            read_response(response).await
        };
        tokio::time::timeout(self.timeout, exchange)
            .await
            .unwrap_or_else(|_| Err(RequestFailed("no response in time".to_owned())))
    }
}

async fn read_response(mut response: reqwest::Response) -> Result<MerchantResponse, RequestFailed> {
    let mut body = BytesMut::new();
    while let Some(chunk) =
        response.chunk().await.map_err(|error| RequestFailed(describe_error(error)))?
    {
        if body.len().saturating_add(chunk.len()) > RESPONSE_BYTES_MAX {
            return Err(RequestFailed(format!("the response is over {RESPONSE_BYTES_MAX} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(MerchantResponse { status: response.status().as_u16(), body: body.freeze() })
}

/// The error and its causes, without the URL, which may hold a secret.
fn describe_error(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Whether requests to `address` are forbidden: clouds serve a machine's credentials at link-local
/// and metadata addresses.
pub(crate) fn is_forbidden_address(address: IpAddr) -> bool {
    let address = address.to_canonical();
    let is_link_local = match address {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    is_link_local || METADATA.contains(&address)
}

/// Metadata services that are not link-local: Alibaba Cloud's, and Amazon's by IPv6.
const METADATA: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// Resolves a host as the system does, without forbidden addresses. The client connects to the
/// resolved addresses and does not resolve the name again.
struct MerchantResolver;

impl Resolve for MerchantResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> =
                found.filter(|socket| !is_forbidden_address(socket.ip())).collect();
            if allowed.is_empty() {
                return Err("the host has no address but link-local or metadata ones".into());
            }
            let allowed: Addrs = Box::new(allowed.into_iter());
            Ok(allowed)
        })
    }
}

/// The reason why a request failed, fit for a log.
#[derive(Debug)]
pub(crate) struct RequestFailed(String);

impl fmt::Display for RequestFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for RequestFailed {}

const USER_AGENT: &str = concat!("paygate/", env!("CARGO_PKG_VERSION"));

/// Shorter than the time after which a Node server hangs up on an idle connection (5 s).
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(4);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_serve_a_clouds_credentials_are_forbidden() {
        for forbidden in [
            "169.254.169.254",
            "169.254.0.1",
            "::ffff:169.254.169.254",
            "fe80::1",
            "100.100.100.200",
            "fd00:ec2::254",
        ] {
            assert!(is_forbidden_address(forbidden.parse().unwrap()), "{forbidden}");
        }
        for shop in ["127.0.0.1", "10.0.0.7", "192.168.1.2", "100.100.100.201", "::1", "fd00::1"] {
            assert!(!is_forbidden_address(shop.parse().unwrap()), "{shop}");
        }
    }

    #[tokio::test]
    async fn a_failed_request_is_described_without_its_url() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let hangs_up = tokio::spawn(async move { drop(listener.accept().await) });
        let url = format!("http://u:s3cret@127.0.0.1:{port}/s3cret?token=s3cret");
        let url: Url = url.parse().unwrap();
        let http = MerchantHttp::new(&url, Duration::from_secs(5)).unwrap();
        for _ in 0..2 {
            // The first connection ends without a response; then nobody listens.
            let failed = http.post(&url, HeaderMap::new(), Bytes::new()).await.unwrap_err();
            let text = format!("{failed} {failed:?}");
            assert!(text.len() > 20 && !text.contains("s3cret"), "{text}");
        }
        hangs_up.await.unwrap();
    }

    #[tokio::test]
    async fn a_name_resolves_to_allowed_addresses_only() {
        let found = MerchantResolver.resolve("localhost".parse().unwrap()).await.unwrap();
        assert!(found.into_iter().all(|socket| socket.ip().is_loopback()));
        let numeric = |text: &str| text.parse::<Name>().unwrap();
        let refused = MerchantResolver.resolve(numeric("169.254.169.254")).await.err().unwrap();
        assert!(refused.to_string().contains("link-local"), "{refused}");
    }
}
