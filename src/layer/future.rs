//! The response's future: the inner service's in place, or a boxed payment operation, whose network
//! call takes a hundred milliseconds anyway.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use pin_project_lite::pin_project;

use super::body::ResponseBody;

type PaymentFuture = Pin<Box<dyn Future<Output = Response<Bytes>> + Send>>;

pin_project! {
    /// The future of a [`PaymentService`](super::PaymentService)'s response.
    pub struct ResponseFuture<F> {
        #[pin]
        inner: FutureKind<F>,
    }
}

pin_project! {
    #[project = FutureKindProjection]
    enum FutureKind<F> {
        Forwarded { #[pin] future: F },
        Payment { future: PaymentFuture },
    }
}

impl<F> ResponseFuture<F> {
    pub(super) fn forwarded(future: F) -> ResponseFuture<F> {
        ResponseFuture { inner: FutureKind::Forwarded { future } }
    }

    pub(super) fn payment(future: PaymentFuture) -> ResponseFuture<F> {
        ResponseFuture { inner: FutureKind::Payment { future } }
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<ResponseBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match self.project().inner.project() {
            FutureKindProjection::Forwarded { future } => {
                ready!(future.poll(cx)).map(|response| response.map(ResponseBody::forwarded))
            }
            FutureKindProjection::Payment { future } => {
                Ok(ready!(future.as_mut().poll(cx)).map(ResponseBody::payment))
            }
        })
    }
}

impl<F> std::fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
