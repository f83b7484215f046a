//! HTTP to the shop's own services, at addresses that the configuration names.
//!
//! A service beside us may speak plain HTTP whatever its host is called: the network between is
//! the shop's. No redirect is followed and the system's proxy settings are not asked for, so that
//! nothing goes anywhere else; an answer is bounded in size and time.

use std::error::Error as _;
use std::fmt;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use reqwest::Client;
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
