//! The caller's context, as uniCloud injects it.
//!
//! The server derives the address, the user agent, the source and the request id, and ignores the
//! client's values of them; the client describes its platform, system, app, device and locale.
//!
//! ```
//! use http::HeaderMap;
//! use paygate::{CallerContext, TrustedProxies};
//! use paygate::testing::caller::observe;
//!
//! let mut headers = HeaderMap::new();
//! headers.insert("x-forwarded-for", "114.114.114.114".parse()?);
//! headers.insert("user-agent", "Mozilla/5.0 (Windows NT 10.0) MicroMessenger".parse()?);
//! let peer = Some("10.0.0.7".parse()?);
//!
//! // An untrusted peer cannot name another address …
//! let caller = observe(&headers, peer, &TrustedProxies::default());
//! assert_eq!(caller.client_ip, peer);
//! assert!(caller.is_pc);
//!
//! // … a trusted proxy can.
//! let caller = observe(&headers, peer, &"10.0.0.0/8".parse()?);
//! assert_eq!(caller.client_ip, Some("114.114.114.114".parse()?));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod claims;
mod client_ip;
mod platform;

use std::net::IpAddr;
use std::ops::RangeInclusive;

use http::HeaderMap;

pub use self::claims::{claims_from_header, claims_from_json, client_info_malformed};
pub use self::client_ip::{TrustedProxies, TrustedProxiesError, client_ip};
use self::platform::{ClientSignals, agent_of};
pub use crate::domain::caller::{Browser, CallerContext, ClientClaims};
use crate::error::{Code, Error, Text, Violation};
use crate::secret::random_text;

/// The sources that the caller's context trusts.
#[derive(Clone, Debug, Default)]
pub struct CallerRules {
    /// The proxies whose `X-Forwarded-For` is trusted.
    pub trusted: TrustedProxies,
    /// Whether the peer is the shop's own backend (pricing by caller token): then the body's
    /// `CLIENTIP` and `CLIENTUA` are the buyer's.
    pub trusts_client_context: bool,
}

/// The caller's description in the body of a payment request.
#[derive(Clone, Copy, Debug)]
pub struct ClientInfo<'a> {
    /// `context` or `clientInfo`.
    pub claims: &'a ClientClaims,
    /// `isPC`, which overrides every other signal.
    pub is_pc: Option<bool>,
}

/// The caller of a payment request.
///
/// With [`CallerRules::trusts_client_context`] the peer is the shop's backend, so its own address
/// is never taken for the buyer's: without a `CLIENTIP` the address is the one that trusted
/// proxies forwarded, and otherwise unknown.
///
/// # Errors
///
/// `Invalid` at `/context/CLIENTIP` when the shop's backend sends a text that is not an address.
pub fn resolve(
    headers: &HeaderMap,
    peer: Option<IpAddr>,
    declared: ClientInfo<'_>,
    rules: &CallerRules,
) -> Result<CallerContext, Error> {
    let address = client_ip(peer, headers, &rules.trusted);
    if !rules.trusts_client_context {
        let source = ClientSource {
            address,
            agent: agent_of(headers),
            signals: ClientSignals::of_request(headers),
        };
        return Ok(context(headers, declared, source));
    }
    let address = match &declared.claims.client_ip {
        Some(text) => Some(parse_client_ip(text)?),
        None => address.filter(|address| {
            peer.is_some_and(|peer| rules.trusted.contains(peer))
                && !rules.trusted.contains(*address)
        }),
    };
    let source = match &declared.claims.user_agent {
        // The request's client hints and referer are the backend's, and do not describe the buyer.
        Some(agent) => {
            ClientSource { address, agent: agent.clone(), signals: ClientSignals::of_agent(agent) }
        }
        None => ClientSource {
            address,
            agent: agent_of(headers),
            signals: ClientSignals::of_request(headers),
        },
    };
    Ok(context(headers, declared, source))
}

/// The caller of any request, by its headers alone.
#[must_use]
pub fn observe(
    headers: &HeaderMap,
    peer: Option<IpAddr>,
    trusted: &TrustedProxies,
) -> CallerContext {
    let declared = ClientInfo { claims: &ClientClaims::default(), is_pc: None };
    let source = ClientSource {
        address: client_ip(peer, headers, trusted),
        agent: agent_of(headers),
        signals: ClientSignals::of_request(headers),
    };
    context(headers, declared, source)
}

/// The buyer's client, as the server sees it.
struct ClientSource {
    address: Option<IpAddr>,
    agent: String,
    signals: ClientSignals,
}

fn context(headers: &HeaderMap, declared: ClientInfo<'_>, source: ClientSource) -> CallerContext {
    let claims = merge(claims_from_header(headers), declared.claims);
    let ClientSource { address, agent, signals } = source;
    CallerContext {
        client_ip: address,
        user_agent: plain(&agent, AGENT_BYTES_MAX),
        platform: signals.platform(&claims),
        is_pc: declared.is_pc.unwrap_or_else(|| signals.is_pc(&claims)),
        browser: signals.browser(&claims),
        os: plain_claim(&claims.os).or_else(|| signals.system().map(str::to_owned)),
        app_id: plain_claim(&claims.app_id),
        device_id: plain_claim(&claims.device_id),
        locale: plain_claim(&claims.locale),
        source: "http",
        request_id: request_id(headers),
    }
}

/// The header's claims, completed from the body's. Address and user agent come from the body only:
/// a browser writes the header, and the shop's backend passes it on unread.
fn merge(header: ClientClaims, body: &ClientClaims) -> ClientClaims {
    let either = |header: Option<String>, body: &Option<String>| header.or_else(|| body.clone());
    ClientClaims {
        platform: either(header.platform, &body.platform),
        os: either(header.os, &body.os),
        app_id: either(header.app_id, &body.app_id),
        device_id: either(header.device_id, &body.device_id),
        locale: either(header.locale, &body.locale),
        device_type: either(header.device_type, &body.device_type),
        client_ip: body.client_ip.clone(),
        user_agent: body.user_agent.clone(),
    }
}

/// The buyer's address, as the shop's backend writes it. `Ipv6Addr` reads no zone id.
fn parse_client_ip(text: &str) -> Result<IpAddr, Error> {
    text.parse::<IpAddr>().map(|address| address.to_canonical()).map_err(|_| {
        Error::invalid(vec![Violation {
            code: Code::Body,
            path: "/context/CLIENTIP".to_owned(),
            rule: "format",
            message: Text::new(
                "CLIENTIP 必须是 IPv4 或 IPv6 地址",
                "CLIENTIP must be an IPv4 or IPv6 address",
            ),
        }])
    })
}

/// The request's own `X-Request-Id`, if there is exactly one and it is fit for a log line and a
/// response header, else a random one.
#[must_use]
pub fn request_id(headers: &HeaderMap) -> String {
    let is_fit = |id: &&str| {
        (1..=REQUEST_ID_BYTES_MAX).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    let mut ids = headers.get_all("x-request-id").iter();
    match (ids.next().and_then(|id| id.to_str().ok()).filter(is_fit), ids.next()) {
        (Some(id), None) => id.to_owned(),
        _ => random_text(),
    }
}

fn plain_claim(text: &Option<String>) -> Option<String> {
    text.as_deref().map(|text| plain(text, CLAIM_BYTES_MAX)).filter(|text| !text.is_empty())
}

/// `text` in at most `bytes_max` bytes, without characters that could break or reorder a line of a
/// log or a terminal.
fn plain(text: &str, bytes_max: usize) -> String {
    let reorders = |c: char| REORDERING.iter().any(|range| range.contains(&c));
    let mut plain = String::new();
    for c in text.chars().filter(|c| !c.is_control() && !reorders(*c)) {
        if plain.len() + c.len_utf8() > bytes_max {
            break;
        }
        plain.push(c);
    }
    plain
}

/// Marks and line separators by which a terminal shows a text in another order (Unicode UAX #9).
const REORDERING: [RangeInclusive<char>; 3] =
    ['\u{200e}'..='\u{200f}', '\u{2028}'..='\u{202e}', '\u{2066}'..='\u{2069}'];

/// Browsers send 100 to 300 bytes, apps with their extensions up to 700.
const AGENT_BYTES_MAX: usize = 1024;

/// uni-app's ids are 32 characters and its locales 10.
const CLAIM_BYTES_MAX: usize = 128;

/// Two UUIDs; trace ids are shorter.
const REQUEST_ID_BYTES_MAX: usize = 64;
