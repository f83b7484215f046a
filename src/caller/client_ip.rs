//! The caller's address: the peer's, or the one that a trusted proxy forwards.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::HeaderMap;
use http::header::{FORWARDED, HeaderName};
use ipnet::{IpNet, Ipv4Net};

use crate::domain::address::is_public;
use crate::error::debug_like_display;

/// The networks whose `X-Forwarded-For` is trusted. The default trusts none.
///
/// ```
/// use paygate::TrustedProxies;
///
/// let trusted: TrustedProxies = "10.0.0.0/8, 127.0.0.1".parse()?;
/// assert!(trusted.contains("10.1.2.3".parse().unwrap()));
/// assert!(!trusted.contains("11.1.2.3".parse().unwrap()));
/// assert!("0.0.0.0/0".parse::<TrustedProxies>().is_err());
/// # Ok::<(), paygate::TrustedProxiesError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
    warned: Arc<AtomicBool>,
}

impl TrustedProxies {
    /// Whether `address` is one of the trusted proxies.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }

    /// Whether no proxy is trusted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty()
    }

    /// Warns once of forwarded headers from a private peer: it is most likely a proxy that the
    /// configuration does not name, and every request loses the buyer's address.
    fn warn_of_forgotten_proxy(&self, peer: IpAddr, headers: &HeaderMap) {
        let forwarded = headers.contains_key(X_FORWARDED_FOR) || headers.contains_key(FORWARDED);
        if forwarded && !is_public(peer) && !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                %peer,
                "paygate ignores the forwarded headers of a private peer; if it is your proxy, \
                 name it in PAYGATE_TRUSTED_PROXIES"
            );
        }
    }
}

impl FromStr for TrustedProxies {
    type Err = TrustedProxiesError;

    /// Reads networks (`10.0.0.0/8`) and addresses, separated by commas or white space.
    fn from_str(list: &str) -> Result<TrustedProxies, TrustedProxiesError> {
        let items =
            list.split(|c: char| c == ',' || c.is_whitespace()).filter(|item| !item.is_empty());
        let (mut networks, mut refused) = (Vec::new(), Vec::new());
        for item in items {
            let parsed = item.parse().or_else(|_| item.parse::<IpAddr>().map(IpNet::from));
            match parsed.ok().and_then(trustworthy) {
                Some(network) => networks.push(network),
                None => refused.push(item.chars().take(64).collect()),
            }
        }
        if !refused.is_empty() {
            return Err(TrustedProxiesError { refused });
        }
        Ok(TrustedProxies { networks, ..TrustedProxies::default() })
    }
}

impl TryFrom<Vec<IpNet>> for TrustedProxies {
    type Error = TrustedProxiesError;

    fn try_from(given: Vec<IpNet>) -> Result<TrustedProxies, TrustedProxiesError> {
        let refused = given.iter().filter(|network| trustworthy(**network).is_none());
        let refused: Vec<String> = refused.map(ToString::to_string).collect();
        if !refused.is_empty() {
            return Err(TrustedProxiesError { refused });
        }
        let networks = given.into_iter().filter_map(trustworthy).collect();
        Ok(TrustedProxies { networks, ..TrustedProxies::default() })
    }
}

/// Items of a list of proxies that are not networks.
#[derive(Clone, PartialEq, Eq)]
pub struct TrustedProxiesError {
    /// The items, at most 64 characters of each.
    pub refused: Vec<String>,
}

impl fmt::Display for TrustedProxiesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let items: Vec<String> = self.refused.iter().map(|item| format!("{item:?}")).collect();
        write!(
            f,
            "{} cannot be trusted: give networks or addresses such as \
             10.0.0.0/8, 127.0.0.1, fd00::/8; never all of them (/0)",
            items.join(", ")
        )
    }
}

debug_like_display!(TrustedProxiesError);

impl std::error::Error for TrustedProxiesError {}

/// The caller's address: the peer's, or, if the peer is a trusted proxy, the right-most address
/// in `X-Forwarded-For` that is not one.
///
/// An item that is not an address ends the search and leaves the address unknown: an unknown
/// proxy passed on the items left of it. If every item is a trusted proxy, the left-most counts.
/// `Forwarded` is ignored: a proxy that sets one header passes the other on unchecked.
/// IPv4-mapped IPv6 addresses become IPv4.
#[must_use]
pub fn client_ip(
    peer: Option<IpAddr>,
    headers: &HeaderMap,
    trusted: &TrustedProxies,
) -> Option<IpAddr> {
    let peer = peer?.to_canonical();
    if trusted.is_empty() {
        trusted.warn_of_forgotten_proxy(peer, headers);
    }
    if !trusted.contains(peer) {
        return Some(peer);
    }
    let lines: Vec<_> = headers.get_all(X_FORWARDED_FOR).iter().collect();
    let items = lines.iter().rev().flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    let mut left_most = peer;
    let mut bytes = 0_usize;
    for (n, item) in items.enumerate() {
        bytes = bytes.saturating_add(item.len()).saturating_add(1);
        if n >= ITEMS_MAX || bytes > BYTES_MAX {
            return None;
        }
        let address = parse_item(item)?;
        if !trusted.contains(address) {
            return Some(address);
        }
        left_most = address;
    }
    Some(left_most)
}

/// An item of `X-Forwarded-For`: an address, perhaps in brackets, perhaps with a port.
fn parse_item(item: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(item).ok()?.trim_matches([' ', '\t']);
    let bare = || text.parse::<IpAddr>().ok();
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok();
    // `SocketAddr` would read a zone id (`[fe80::1%2]:80`): it means something on that host only.
    let with_port = || (!text.contains('%')).then(|| text.parse::<SocketAddr>().ok()).flatten();
    bare()
        .or_else(|| bracketed().map(IpAddr::V6))
        .or_else(|| with_port().map(|socket| socket.ip()))
        .map(|address| address.to_canonical())
}

/// A network that can be trusted; IPv4-mapped ones as IPv4. All addresses (`/0`) cannot be: the
/// left-most item, which the client wrote, would be trusted.
fn trustworthy(network: IpNet) -> Option<IpNet> {
    let network = match (network, network.addr().to_canonical()) {
        (IpNet::V6(mapped), IpAddr::V4(address)) => {
            IpNet::V4(Ipv4Net::new(address, mapped.prefix_len().checked_sub(96)?).ok()?)
        }
        _ => network,
    };
    (network.prefix_len() > 0).then_some(network)
}

/// The only header that gives the caller's address.
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// More proxies than any honest chain has.
const ITEMS_MAX: usize = 64;

/// As much as web servers take for one header line by default.
const BYTES_MAX: usize = 8 * 1024;
