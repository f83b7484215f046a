//! One payment request, from HTTP in to HTTP out, in the order of the checks.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Request, Response};
use http_body::Body;

use super::cors::Origins;
use crate::caller::{self, CallerRules, Said};
use crate::domain::attempt::Material;
use crate::domain::request::NeedQrcode;
use crate::engine::Engine;
use crate::error::{Error, Kind};
use crate::guard::{Guard, Operation, Route};
use crate::pricing::Pricing;
use crate::reply::{self, Reply};

/// How to find the peer's address in a request.
pub(super) type FindPeer = Arc<dyn Fn(&Parts) -> Option<SocketAddr> + Send + Sync>;

/// Everything that stands between HTTP and the engine.
#[derive(Clone)]
pub(super) struct Edge {
    pub(super) engine: Engine,
    pub(super) pricing: Pricing,
    pub(super) guard: Guard,
    pub(super) rules: CallerRules,
    pub(super) origins: Origins,
    pub(super) peer_addr: Option<FindPeer>,
    pub(super) inject_context: bool,
}

impl Edge {
    /// A request that is not ours, on its way to the inner service.
    pub(super) fn pass<B>(&self, request: Request<B>) -> Request<B> {
        if !self.inject_context {
            return request;
        }
        let (mut parts, body) = request.into_parts();
        let peer = self.peer(&parts);
        let context = caller::observe(&parts.headers, peer, &self.rules.trusted);
        parts.extensions.insert(context);
        Request::from_parts(parts, body)
    }

    fn peer(&self, parts: &Parts) -> Option<IpAddr> {
        self.peer_addr.as_ref().and_then(|find| find(parts)).map(|it| it.ip())
    }
}

impl fmt::Debug for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edge")
            .field("engine", &self.engine)
            .field("pricing", &self.pricing)
            .field("guard", &self.guard)
            .field("rules", &self.rules)
            .field("origins", &self.origins)
            .field("inject_context", &self.inject_context)
            .finish_non_exhaustive()
    }
}
