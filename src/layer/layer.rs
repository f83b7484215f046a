//! The layer's knobs.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use http::request::Parts;
use tower_layer::Layer;

use super::cors::Origins;
use super::handler::Edge;
use super::service::PaymentService;
use crate::caller::{CallerRules, TrustedProxies};
use crate::engine::Engine;
use crate::guard::{Guard, Mount};
use crate::pricing::Pricing;

/// Adds the payment operations to a service.
#[derive(Clone)]
pub struct PaymentLayer {
    edge: Edge,
    mount: Mount,
    body_bytes_max: usize,
}

impl PaymentLayer {
    /// The payment operations of `engine` under `/pay`, for the callers that `pricing` lets in.
    #[must_use]
    pub fn new(engine: Engine, pricing: Pricing) -> PaymentLayer {
        let rules = CallerRules {
            trusted: TrustedProxies::default(),
            believe_body: pricing.believes_context(),
        };
        let mount = Mount::parse("/pay").expect("`/pay` is a path prefix");
        PaymentLayer {
            edge: Edge {
                engine,
                pricing,
                guard: Guard::new(mount.clone(), BODY_BYTES_MAX),
                rules,
                origins: Origins::default(),
                peer_addr: None,
                inject_context: false,
            },
            mount,
            body_bytes_max: BODY_BYTES_MAX,
        }
    }

    /// Another path prefix. The engine's [`mount`](crate::engine::Builder::mount) must be the same:
    /// it tells the providers where to report payments.
    ///
    /// # Panics
    ///
    /// When `mount` is no plain path prefix such as `/pay` or `/api/pay`.
    #[must_use]
    pub fn mount(mut self, mount: &str) -> PaymentLayer {
        self.mount = Mount::parse(mount).expect("the mount is a plain path prefix");
        self.edge.guard = Guard::new(self.mount.clone(), self.body_bytes_max);
        self
    }

    /// How to find the peer's address in a request; without it the address is unknown, and what
    /// needs it says so.
    #[must_use]
    pub fn peer_addr(
        mut self,
        find: impl Fn(&Parts) -> Option<SocketAddr> + Send + Sync + 'static,
    ) -> PaymentLayer {
        self.edge.peer_addr = Some(Arc::new(find));
        self
    }

    /// The proxies whose `X-Forwarded-For` is believed; none unless told.
    #[must_use]
    pub fn trusted_proxies(mut self, trusted: TrustedProxies) -> PaymentLayer {
        self.edge.rules.trusted = trusted;
        self
    }

    /// The most bytes of a payment request's body; 64 KiB unless told.
    #[must_use]
    pub fn body_bytes_max(mut self, max: usize) -> PaymentLayer {
        self.body_bytes_max = max;
        self.edge.guard = Guard::new(self.mount.clone(), max);
        self
    }

    /// The origins (`https://shop.example.com`) whose pages may call from a browser; none unless
    /// told. With [`Pricing::callback`] they may send the buyer's credentials, which the callback
    /// reads.
    #[must_use]
    pub fn cors_origins(mut self, origins: impl IntoIterator<Item = String>) -> PaymentLayer {
        let origins = Origins::new(origins);
        let reads = self.edge.pricing.takes_credentials();
        self.edge.origins = if reads { origins.with_credentials() } else { origins };
        self
    }

    /// Puts a [`CallerContext`](crate::CallerContext) into the extensions of every request that
    /// passes through.
    #[must_use]
    pub fn inject_context(mut self) -> PaymentLayer {
        self.edge.inject_context = true;
        self
    }
}

impl<S> Layer<S> for PaymentLayer {
    type Service = PaymentService<S>;

    fn layer(&self, inner: S) -> PaymentService<S> {
        PaymentService { inner, edge: Arc::new(self.edge.clone()) }
    }
}

impl fmt::Debug for PaymentLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.edge.fmt(f)
    }
}

/// Far above any real order, far below what hurts.
const BODY_BYTES_MAX: usize = 64 * 1024;
