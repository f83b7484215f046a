//! Calls from a browser's page on another origin (WHATWG Fetch, CORS protocol).

use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, CONTENT_LENGTH, ORIGIN, VARY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response};

use crate::reply::ReplyWriter;

/// The origins whose pages may call the payment operations.
#[derive(Clone, Debug, Default)]
pub(super) struct Origins {
    listed: Arc<[String]>,
    credentials: bool,
}

impl Origins {
    pub(super) fn new(origins: impl IntoIterator<Item = String>) -> Origins {
        Origins { listed: origins.into_iter().collect(), credentials: false }
    }

    /// Lets their pages send the buyer's cookies and an `Authorization`, which the callback reads.
    pub(super) fn with_credentials(self) -> Origins {
        Origins { credentials: true, ..self }
    }

    /// The request's origin, if it is listed: an origin is compared as the text it is.
    fn listed(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(ORIGIN)?;
        self.listed
            .iter()
            .any(|listed| listed.as_bytes() == origin.as_bytes())
            .then(|| origin.clone())
    }

    /// The answer to a preflight of a listed origin; none to another request.
    pub(super) fn preflight_answer(
        &self,
        parts: &Parts,
        reply: &ReplyWriter<'_>,
    ) -> Option<Response<Bytes>> {
        let is_preflight = parts.method == Method::OPTIONS
            && parts.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
            && self.listed(&parts.headers).is_some();
        is_preflight.then(|| {
            let mut answer = reply.no_content();
            self.preflight(answer.headers_mut());
            answer
        })
    }

    /// An answer as the client gets it: a listed origin's page may read it, and an answer to HEAD
    /// is without its body.
    pub(super) fn finish(&self, parts: &Parts, answer: Response<Bytes>) -> Response<Bytes> {
        let mut answer = answer;
        self.allow(self.listed(&parts.headers), answer.headers_mut());
        if parts.method == Method::HEAD { without_body(answer) } else { answer }
    }

    /// Lets a listed origin's page read the answer. As soon as any origin is listed, caches must
    /// keep the answers of origins apart.
    fn allow(&self, origin: Option<HeaderValue>, answer: &mut HeaderMap) {
        if self.listed.is_empty() {
            return;
        }
        answer.append(VARY, HeaderValue::from_static("Origin"));
        let Some(origin) = origin else { return };
        answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if self.credentials {
            answer.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        answer.insert(
            ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("Idempotent-Replayed, Retry-After"),
        );
    }

    /// Adds the headers of a preflight's answer.
    fn preflight(&self, answer: &mut HeaderMap) {
        let headers = if self.credentials {
            "Authorization, Content-Type, X-Client-Info, X-Request-Id"
        } else {
            "Content-Type, X-Client-Info, X-Request-Id"
        };
        answer.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
        answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(headers));
        answer.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
}

/// An answer to HEAD: the headers alone (RFC 9110, 9.3.2). A server of HTTP/2 would send the body.
fn without_body(mut answer: Response<Bytes>) -> Response<Bytes> {
    let length = HeaderValue::from(answer.body().len());
    answer.headers_mut().insert(CONTENT_LENGTH, length);
    answer.map(|_| Bytes::new())
}
