//! The layer and its settings.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use http::request::Parts;
use tower_layer::Layer;

use super::cors::Origins;
use super::handler::PaymentHandler;
use super::service::PaymentService;
use crate::caller::{CallerRules, TrustedProxies};
use crate::engine::Engine;
use crate::guard::{Guard, Mount};
use crate::pricing::Pricing;

/// Adds the payment operations to a service.
#[derive(Clone)]
pub struct PaymentLayer {
    handler: PaymentHandler,
    mount: Mount,
    body_bytes_max: usize,
}

impl PaymentLayer {
    /// The payment operations of `engine` under `/pay`, for the callers that `pricing` allows.
    #[must_use]
    pub fn new(engine: Engine, pricing: Pricing) -> PaymentLayer {
        let rules = CallerRules {
            trusted: TrustedProxies::default(),
            trusts_client_context: pricing.trusts_client_context(),
        };
        let mount = Mount::parse("/pay").expect("`/pay` is a path prefix");
        PaymentLayer {
            handler: PaymentHandler {
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

    /// Sets the path prefix. The engine's [`mount`](crate::engine::Builder::mount) must be the
    /// same: it is part of the URL that providers notify.
    ///
    /// # Panics
    ///
    /// When `mount` is not a plain path prefix such as `/pay` or `/api/pay`.
    #[must_use]
    pub fn mount(mut self, mount: &str) -> PaymentLayer {
        self.mount = Mount::parse(mount).expect("the mount is a plain path prefix");
        self.handler.guard = Guard::new(self.mount.clone(), self.body_bytes_max);
        self
    }

    /// Sets how the layer finds the peer's address in a request. Without it the address is unknown,
    /// and a pay type that needs it is refused.
    #[must_use]
    pub fn peer_addr(
        mut self,
        find: impl Fn(&Parts) -> Option<SocketAddr> + Send + Sync + 'static,
    ) -> PaymentLayer {
        self.handler.peer_addr = Some(Arc::new(find));
        self
    }

    /// Sets the proxies whose `X-Forwarded-For` is trusted; none by default.
    #[must_use]
    pub fn trusted_proxies(mut self, trusted: TrustedProxies) -> PaymentLayer {
        self.handler.rules.trusted = trusted;
        self
    }

    /// Sets the most bytes of a payment request's body; 64 KiB by default.
    #[must_use]
    pub fn body_bytes_max(mut self, max: usize) -> PaymentLayer {
        self.body_bytes_max = max;
        self.handler.guard = Guard::new(self.mount.clone(), max);
        self
    }

    /// Sets the origins (`https://shop.example.com`) whose pages may call from a browser; none by
    /// default. With [`Pricing::callback`] they may send the buyer's credentials, which the
    /// callback receives.
    #[must_use]
    pub fn cors_origins(mut self, origins: impl IntoIterator<Item = String>) -> PaymentLayer {
        let origins = Origins::new(origins);
        let has_callback = self.handler.pricing.forwards_credentials();
        self.handler.origins = if has_callback { origins.with_credentials() } else { origins };
        self
    }

    /// Puts a [`CallerContext`](crate::CallerContext) into the extensions of every request that
    /// passes through.
    #[must_use]
    pub fn inject_context(mut self) -> PaymentLayer {
        self.handler.inject_context = true;
        self
    }
}

impl<S> Layer<S> for PaymentLayer {
    type Service = PaymentService<S>;

    fn layer(&self, inner: S) -> PaymentService<S> {
        PaymentService { inner, handler: Arc::new(self.handler.clone()) }
    }
}

impl fmt::Debug for PaymentLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.handler.fmt(f)
    }
}

/// Far above any real order, and small enough to hold in memory.
const BODY_BYTES_MAX: usize = 64 * 1024;
