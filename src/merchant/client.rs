//! HTTP to the shop's own services, at addresses that the configuration names.
//!
//! A service beside us may speak plain HTTP whatever its host is called: the network between is
//! the shop's. No redirect is followed and the system's proxy settings are not asked for, so that
//! nothing goes anywhere else; an answer is bounded in size and time.

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

/// The most bytes of an answer's body.
pub(crate) const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// A client of the shop's own services. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ShopClient {
    client: Client,
    timeout: Duration,
}

/// What a service answered, whatever its status.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
}

impl ShopClient {
    /// A client for URLs with the scheme of `url`, without connections; a whole exchange takes at
    /// most `timeout`.
    ///
    /// # Errors
    ///
    /// For https, where the system has no root certificates.
    pub(crate) fn new(url: &Url, timeout: Duration) -> Result<ShopClient, NoAnswer> {
        let builder = Client::builder()
            .user_agent(USER_AGENT)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .dns_resolver(Arc::new(Shops))
            .no_proxy();
        // Plain connections work where no root certificates are installed.
        let builder = match url.scheme() {
            "https" => builder.https_only(true),
            _ => builder.tls_certs_only([]),
        };
        let client = builder.build().map_err(|error| NoAnswer(told(error)))?;
        Ok(ShopClient { client, timeout })
    }

    /// POSTs `body` with `headers`.
    ///
    /// # Errors
    ///
    /// [`NoAnswer`] where there is no whole answer in time. The service may have got the request.
    pub(crate) async fn post(
        &self,
        url: &Url,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, NoAnswer> {
        let request = self.client.post(url.clone()).headers(headers).body(body);
        let exchange = async {
            let response = request.send().await.map_err(|error| NoAnswer(told(error)))?;
            read_whole(response).await
        };
        tokio::time::timeout(self.timeout, exchange)
            .await
            .unwrap_or_else(|_| Err(NoAnswer("no answer in time".to_owned())))
    }
}

async fn read_whole(mut response: reqwest::Response) -> Result<Answer, NoAnswer> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| NoAnswer(told(error)))? {
        if body.len().saturating_add(chunk.len()) > ANSWER_BYTES_MAX {
            return Err(NoAnswer(format!("the answer is over {ANSWER_BYTES_MAX} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status: response.status().as_u16(), body: body.freeze() })
}

/// The error and its causes, without the URL, which may hold a secret.
fn told(error: reqwest::Error) -> String {
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

/// Whether no shop is there: clouds hand out a machine's credentials at such addresses.
pub(crate) fn is_no_shop(address: IpAddr) -> bool {
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

/// Finds a host's addresses as the system does, and leaves out those where no shop is. The
/// connection is made to what was found: the name is not looked up again in between.
struct Shops;

impl Resolve for Shops {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let shops: Vec<SocketAddr> = found.filter(|it| !is_no_shop(it.ip())).collect();
            if shops.is_empty() {
                return Err("the host has no address but link-local or metadata ones".into());
            }
            let shops: Addrs = Box::new(shops.into_iter());
            Ok(shops)
        })
    }
}

/// Why there is no answer; fit for a log.
#[derive(Debug)]
pub(crate) struct NoAnswer(String);

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NoAnswer {}

const USER_AGENT: &str = concat!("paygate/", env!("CARGO_PKG_VERSION"));

/// Shorter than the time after which a Node server hangs up on an idle connection (5 s).
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(4);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_shop_is_where_clouds_hand_out_credentials() {
        for no_shop in [
            "169.254.169.254",
            "169.254.0.1",
            "::ffff:169.254.169.254",
            "fe80::1",
            "100.100.100.200",
            "fd00:ec2::254",
        ] {
            assert!(is_no_shop(no_shop.parse().unwrap()), "{no_shop}");
        }
        for shop in ["127.0.0.1", "10.0.0.7", "192.168.1.2", "100.100.100.201", "::1", "fd00::1"] {
            assert!(!is_no_shop(shop.parse().unwrap()), "{shop}");
        }
    }

    #[tokio::test]
    async fn a_name_leads_to_where_a_shop_may_be() {
        let found = Shops.resolve("localhost".parse().unwrap()).await.unwrap();
        assert!(found.into_iter().all(|it| it.ip().is_loopback()));
        let numeric = |text: &str| text.parse::<Name>().unwrap();
        let refused = Shops.resolve(numeric("169.254.169.254")).await.err().unwrap();
        assert!(refused.to_string().contains("link-local"), "{refused}");
    }
}
