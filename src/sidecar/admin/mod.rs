//! The admin listener: health, metrics, schemas, and the admin operations.

pub(super) mod operations;
pub(super) mod refunds;

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use tower_service::Service;

use super::engine_slot::EngineSlot;
use super::limit_counters::LimitCounters;
use super::responses::{RefusalContext, SidecarRefusal};
use super::shutdown::ShutdownWatch;
use super::telemetry;
use crate::clock::throttled_count::ThrottledCount;
use crate::error::Kind;
use crate::secret::Secret;

/// Checks whether the sidecar can serve payments.
pub type ReadyCheck = Arc<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>;

/// The parts of the admin listener.
#[derive(Clone)]
pub struct AdminParts {
    /// Whether the sidecar can serve payments: the store accepts writes.
    pub ready: ReadyCheck,
    /// The shutdown: `/readyz` answers 503 as soon as it begins.
    pub stopping: ShutdownWatch,
    /// The schemas' names and texts.
    pub schemas: Vec<(&'static str, &'static str)>,
    /// The engine that runs the operations.
    pub engine: EngineSlot,
    /// The bearer token of the admin operations; without one they answer 403.
    pub token: Option<Secret>,
    /// The path before the operations, as `/pay`.
    pub mount: String,
    /// The most bytes of an operation's body.
    pub body_bytes_max: usize,
    /// How often each limit acted.
    pub counters: LimitCounters,
}

/// The service of the admin listener.
#[derive(Clone)]
pub struct Admin {
    parts: Arc<AdminParts>,
    /// The requests without the token.
    rejected: Arc<ThrottledCount>,
}

impl Admin {
    /// Serves `parts`.
    #[must_use]
    pub fn new(parts: AdminParts) -> Admin {
        Admin { parts: Arc::new(parts), rejected: Arc::default() }
    }
}

impl<B> Service<Request<B>> for Admin
where
    B: Body + Send + 'static,
    B::Data: Send,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Full<Bytes>>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let Admin { parts, rejected } = self.clone();
        Box::pin(async move {
            let refusal_context = RefusalContext::of(request.headers());
            let answer = match parts.operation(request.uri().path()).map(str::to_owned) {
                Some(path) => {
                    let answer = parts.dispatch(&path, request, &rejected).await;
                    answer.map(|response| response.map(Full::new))
                }
                // Health and schema requests have no body to read.
                None => parts.answer(&request.map(drop)).await,
            };
            Ok(answer.unwrap_or_else(|refusal| refusal_context.refuse(refusal)))
        })
    }
}

impl AdminParts {
    async fn answer(&self, request: &Request<()>) -> Result<Response<Full<Bytes>>, SidecarRefusal> {
        let path = request.uri().path();
        let known = OPEN.contains(&path);
        let schema = path.strip_prefix("/schemas/").and_then(|name| self.schema(name));
        if !known && schema.is_none() {
            return Err(SidecarRefusal::Of(Kind::NotFound));
        }
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            return Err(SidecarRefusal::Method("GET, HEAD"));
        }
        Ok(match (path, schema) {
            (_, Some(schema)) => answer(StatusCode::OK, "application/schema+json", schema),
            ("/readyz", None) => self.readiness().await,
            ("/metrics", None) => answer(StatusCode::OK, METRICS, self.metrics()),
            ("/schemas", None) => answer(StatusCode::OK, "application/json", self.names()),
            _ => answer(StatusCode::OK, "text/plain", "ok\n"),
        })
    }

    async fn readiness(&self) -> Response<Full<Bytes>> {
        let unavailable =
            |why: &'static str| answer(StatusCode::SERVICE_UNAVAILABLE, "text/plain", why);
        if self.stopping.is_set() {
            return unavailable("stopping\n");
        }
        match (self.ready)().await {
            true => answer(StatusCode::OK, "text/plain", "ok\n"),
            false => unavailable("not ready\n"),
        }
    }

    /// The part of `path` below the mount. With a mount at the root, the open paths are not
    /// operations.
    fn operation<'p>(&self, path: &'p str) -> Option<&'p str> {
        let is_open = OPEN.contains(&path) || path.starts_with("/schemas/");
        let below = path.strip_prefix(self.mount.as_str())?.strip_prefix('/')?;
        (!is_open).then_some(below)
    }

    fn schema(&self, name: &str) -> Option<&'static str> {
        self.schemas.iter().find(|schema| schema.0 == name).map(|schema| schema.1)
    }

    fn metrics(&self) -> String {
        self.counters.text(telemetry::lines_dropped())
    }

    fn names(&self) -> String {
        let names: Vec<&str> = self.schemas.iter().map(|schema| schema.0).collect();
        serde_json::json!({ "schemas": names }).to_string()
    }
}

/// The paths that need no token, besides the schemas by name.
const OPEN: [&str; 4] = ["/livez", "/readyz", "/metrics", "/schemas"];

/// The content type of Prometheus's text format.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

fn answer(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Admin").field(&self.parts).finish()
    }
}

impl fmt::Debug for AdminParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminParts")
            .field("token", &self.token)
            .field("mount", &self.mount)
            .finish_non_exhaustive()
    }
}
