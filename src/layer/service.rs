//! The service: it answers payment operations and forwards every other request to the inner
//! service.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::body::ResponseBody;
use super::future::ResponseFuture;
use super::handler::PaymentHandler;
use crate::guard::RouteDecision;

/// A service with the payment operations in front of it. Made by
/// [`PaymentLayer`](super::PaymentLayer).
#[derive(Clone, Debug)]
pub struct PaymentService<S> {
    pub(super) inner: S,
    pub(super) handler: Arc<PaymentHandler>,
}

impl<S, B, R> Service<Request<B>> for PaymentService<S>
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
        call(&self.handler, &mut self.inner, request)
    }
}

/// Has `handler` answer a payment operation, and `inner` any other request.
pub(super) fn call<S, B, R>(
    handler: &Arc<PaymentHandler>,
    inner: &mut S,
    request: Request<B>,
) -> ResponseFuture<S::Future>
where
    S: Service<Request<B>, Response = Response<R>>,
    B: Body + Send + 'static,
    B::Data: Send,
{
    let route = handler.guard.route(request.uri().path());
    if route == RouteDecision::PassThrough {
        let request = handler.forward(request);
        return ResponseFuture::forwarded(inner.call(request));
    }
    let handler = handler.clone();
    ResponseFuture::payment(Box::pin(async move { handler.answer(route, request).await }))
}
