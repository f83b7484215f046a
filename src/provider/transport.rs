//! The HTTP client to the providers. It alone decides whether a failed request can have been sent.

use std::error::Error as _;
use std::fmt;
use std::net::IpAddr;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Uri;
use reqwest::Client;
use reqwest::redirect::Policy;
use url::Url;

use super::call::{BoxFuture, Transport, TransportFailure};

/// The most bytes of a response's body: the providers' own are a few KiB.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;

/// The `User-Agent` of our requests to providers.
pub const USER_AGENT: &str = concat!("paygate/", env!("CARGO_PKG_VERSION"));

/// HTTP over TLS, with pooled connections.
///
/// The client follows no redirect, uses no proxy of the system's settings, and sends nothing twice.
/// Plain `http://` goes to loopback only.
pub struct Http {
    connect_timeout: Duration,
    tls: OnceLock<Result<Client, String>>,
    plain: OnceLock<Result<Client, String>>,
}

impl Http {
    /// A client without connections. The system's root certificates are read at the first
    /// `https://` request.
    #[must_use]
    pub fn new() -> Http {
        Http::with_connect_timeout(CONNECT_TIMEOUT)
    }

    /// With another limit for making a connection, TLS included. A request that cannot be
    /// connected within it was not sent; keep it below the time a call may take, or the call's
    /// end leaves it open whether the request was sent.
    #[must_use]
    pub fn with_connect_timeout(connect_timeout: Duration) -> Http {
        Http { connect_timeout, tls: OnceLock::new(), plain: OnceLock::new() }
    }

    /// The client for `uri`, or why no request may go there.
    fn client_for(&self, uri: &Uri) -> Result<&Client, String> {
        if !allows(uri) {
            return Err("only https is spoken beyond loopback".to_owned());
        }
        let (cell, roots) = match uri.scheme_str() {
            Some("https") => (&self.tls, Roots::System),
            _ => (&self.plain, Roots::None),
        };
        cell.get_or_init(|| build(self.connect_timeout, roots)).as_ref().map_err(Clone::clone)
    }

    async fn exchange(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, TransportFailure> {
        let client = self.client_for(request.uri()).map_err(TransportFailure::NotSent)?;
        let request = reqwest::Request::try_from(request)
            .map_err(|error| TransportFailure::NotSent(describe_error(error)))?;
        let response = client.execute(request).await.map_err(failure_of)?;
        read_whole(response).await
    }
}

impl Default for Http {
    fn default() -> Http {
        Http::new()
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("connect_timeout", &self.connect_timeout).finish()
    }
}

impl Transport for Http {
    fn send<'a>(
        &'a self,
        request: http::Request<Bytes>,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<http::Response<Bytes>, TransportFailure>> {
        Box::pin(async move {
            // A connection may have been made before the time ran out.
            tokio::time::timeout(timeout, self.exchange(request)).await.unwrap_or_else(|_| {
                Err(TransportFailure::OutcomeUnknown("no answer in time".to_owned()))
            })
        })
    }
}

/// The root certificates that servers are verified with.
#[derive(Clone, Copy)]
enum Roots {
    System,
    /// For plain connections, so that they work where no root certificates are installed.
    None,
}

fn build(connect_timeout: Duration, roots: Roots) -> Result<Client, String> {
    let builder = Client::builder()
        .user_agent(USER_AGENT)
        .connect_timeout(connect_timeout)
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .redirect(Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .no_proxy();
    let builder = match roots {
        Roots::System => builder.https_only(true),
        Roots::None => builder.tls_certs_only([]),
    };
    builder.build().map_err(describe_error)
}

/// Whether a request may go to `uri`: TLS anywhere, plain HTTP on loopback.
#[must_use]
pub fn allows(uri: &Uri) -> bool {
    match uri.scheme_str() {
        Some("https") => uri.host().is_some(),
        Some("http") => is_loopback(uri),
        _ => false,
    }
}

/// Whether the host names this machine: a loopback address, or `localhost`.
fn is_loopback(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// A connection that was never made carried nothing. Anything later, a pooled connection that
/// the provider closed meanwhile included, may have carried the request.
fn failure_of(error: reqwest::Error) -> TransportFailure {
    if error.is_connect() {
        let host = error.url().and_then(Url::host_str).unwrap_or("the provider").to_owned();
        let why = describe_error(error);
        TransportFailure::NotSent(format!("{host} cannot be reached: {why}"))
    } else if error.is_builder() {
        TransportFailure::NotSent(describe_error(error))
    } else {
        TransportFailure::OutcomeUnknown(describe_error(error))
    }
}

/// The error and its causes, without the URL: an Alipay URL holds everything that was sent.
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

async fn read_whole(
    mut response: reqwest::Response,
) -> Result<http::Response<Bytes>, TransportFailure> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| TransportFailure::OutcomeUnknown(describe_error(error)))?
    {
        if body.len().saturating_add(chunk.len()) > BODY_BYTES_MAX {
            return Err(TransportFailure::OutcomeUnknown("the response is over 1 MiB".to_owned()));
        }
        body.extend_from_slice(&chunk);
    }
    let mut whole = http::Response::new(body.freeze());
    *whole.status_mut() = response.status();
    *whole.headers_mut() = std::mem::take(response.headers_mut());
    Ok(whole)
}

/// Well below the 8 s of a call, to distinguish an unreachable provider from one that does not
/// answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Shorter than the idle time after which servers commonly hang up (60 s and more): a request
/// that meets a closing connection has an unknown outcome.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(30);
