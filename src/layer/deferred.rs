//! The payment operations of an engine that starts while the listeners serve already.

use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::body::ResponseBody;
use super::cors::Origins;
use super::future::ResponseFuture;
use super::handler::PaymentHandler;
use super::layer::PaymentLayer;
use super::service;
use crate::caller;
use crate::domain::notify_url::MountPath;
use crate::error::{Error, Kind};
use crate::guard::{Mount, PaymentOperation, RouteDecision};
use crate::reply::{Language, ReplyWriter};

/// The place of a [`PaymentLayer`] that is set once its engine has started. Clones share it.
#[derive(Clone, Debug)]
pub struct PaymentSlot(Arc<DeferredHandler>);

#[derive(Debug)]
struct DeferredHandler {
    handler: OnceLock<Arc<PaymentHandler>>,
    mount: Mount,
    origins: Origins,
    simulated: bool,
}

/// What a refusal needs of the layer, before the engine has started.
#[derive(Clone, Debug)]
pub struct DeferredSettings {
    /// The path prefix of the payment operations.
    pub mount: String,
    /// The origins whose pages may call from a browser.
    pub cors_origins: Vec<String>,
    /// Whether they may send the buyer's credentials.
    pub credentials: bool,
    /// Whether the providers are simulated.
    pub simulated: bool,
}

impl PaymentSlot {
    /// An empty place.
    ///
    /// # Errors
    ///
    /// Why the mount is none.
    pub fn new(settings: DeferredSettings) -> Result<PaymentSlot, &'static str> {
        let mount = Mount::new(MountPath::parse(&settings.mount)?);
        let origins = Origins::new(settings.cors_origins);
        let origins = if settings.credentials { origins.with_credentials() } else { origins };
        let slot = DeferredHandler {
            handler: OnceLock::new(),
            mount,
            origins,
            simulated: settings.simulated,
        };
        Ok(PaymentSlot(Arc::new(slot)))
    }

    /// Has `layer` answer from now on. The first one counts.
    pub fn set(&self, layer: &PaymentLayer) {
        let _ = self.0.handler.set(layer.shared_handler());
    }

    /// The operations of the layer in this place, in front of `inner`.
    #[must_use]
    pub fn in_front_of<S>(&self, inner: S) -> DeferredPayments<S> {
        DeferredPayments { inner, slot: self.0.clone() }
    }
}

/// A service with the payment operations in front of it. While there is no engine, it refuses each
/// of them with 5001, and forwards every other request.
#[derive(Clone, Debug)]
pub struct DeferredPayments<S> {
    inner: S,
    slot: Arc<DeferredHandler>,
}

impl<S, B, R> Service<Request<B>> for DeferredPayments<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    B: Body + Send + 'static,
    B::Data: Send,
    R: Body<Data = Bytes>,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if let Some(handler) = self.slot.handler.get() {
            return service::call(handler, &mut self.inner, request);
        }
        match self.slot.mount.route(request.uri().path()) {
            RouteDecision::PassThrough => ResponseFuture::forwarded(self.inner.call(request)),
            route => {
                let slot = self.slot.clone();
                ResponseFuture::payment(Box::pin(async move { slot.refuse(route, request) }))
            }
        }
    }
}

impl DeferredHandler {
    fn refuse<B>(&self, route: RouteDecision, request: Request<B>) -> Response<Bytes> {
        let (parts, _) = request.into_parts();
        let request_id = caller::request_id(&parts.headers);
        let language = Language::preferred(&parts.headers);
        let reply = ReplyWriter { request_id: &request_id, language, mock: self.simulated };
        let answer = self.origins.preflight_answer(&parts, &reply).unwrap_or_else(|| match route {
            RouteDecision::Operation(PaymentOperation::Notify { provider, .. }) => {
                reply.not_acknowledged(provider, &Error::new(Kind::NotSent))
            }
            RouteDecision::Operation(_) => reply.refusal(&Error::new(Kind::NotSent)),
            RouteDecision::PassThrough | RouteDecision::Refuse => {
                reply.refusal(&Error::new(Kind::NotFound))
            }
        });
        self.origins.finish(&parts, answer)
    }
}
