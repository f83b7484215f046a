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
}

impl PaymentLayer {
    /// The payment operations of `engine` under its [`mount`](crate::engine::Builder::mount), for
    /// the callers that `pricing` allows.
    #[must_use]
    pub fn new(engine: Engine, pricing: Pricing) -> PaymentLayer {
        let rules = CallerRules {
            trusted: TrustedProxies::default(),
            trusts_client_context: pricing.trusts_client_context(),
        };
        let guard = guard(&engine, BODY_BYTES_MAX);
        PaymentLayer {
            handler: PaymentHandler {
                engine,
                pricing,
                guard,
                rules,
                origins: Origins::default(),
                peer_addr: None,
                inject_context: false,
                rejected: Arc::default(),
            },
        }
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

    /// Sets the most bytes of a payment request's body; 64 KiB by default, and never more than
    /// 256 KiB.
    #[must_use]
    pub fn body_bytes_max(mut self, max: usize) -> PaymentLayer {
        self.handler.guard = guard(&self.handler.engine, max);
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

    /// The handler, for a service that several connections share.
    pub(super) fn shared_handler(&self) -> Arc<PaymentHandler> {
        Arc::new(self.handler.clone())
    }
}

fn guard(engine: &Engine, body_bytes_max: usize) -> Guard {
    Guard::new(Mount::new(engine.mount().clone()), body_bytes_max)
}

impl<S> Layer<S> for PaymentLayer {
    type Service = PaymentService<S>;

    fn layer(&self, inner: S) -> PaymentService<S> {
        PaymentService { inner, handler: self.shared_handler() }
    }
}

impl fmt::Debug for PaymentLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.handler.fmt(f)
    }
}

/// Far above any real order, and small enough to hold in memory.
const BODY_BYTES_MAX: usize = 64 * 1024;
