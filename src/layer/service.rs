//! The decision: a payment operation is answered here, anything else goes to the inner service.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::body::ResponseBody;
use super::future::ResponseFuture;
use super::handler::Edge;
use crate::guard::Route;

/// A service with the payment operations in front of it. Made by
/// [`PaymentLayer`](super::PaymentLayer).
#[derive(Clone, Debug)]
pub struct PaymentService<S> {
    pub(super) inner: S,
    pub(super) edge: Arc<Edge>,
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
        let route = self.edge.guard.route(request.uri().path());
        if route == Route::Pass {
            let request = self.edge.pass(request);
            return ResponseFuture::passed(self.inner.call(request));
        }
        let edge = self.edge.clone();
        ResponseFuture::ours(Box::pin(async move { edge.answer(route, request).await }))
    }
}
