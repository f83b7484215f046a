//! The response's future: the inner service's in place, or a boxed payment operation, which is
//! about to spend a hundred milliseconds on a network call anyway.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use pin_project_lite::pin_project;

use super::body::ResponseBody;

type Answer = Pin<Box<dyn Future<Output = Response<Bytes>> + Send>>;

pin_project! {
    /// The future of a [`PaymentService`](super::PaymentService)'s response.
    pub struct ResponseFuture<F> {
        #[pin]
        inner: Inner<F>,
    }
}

pin_project! {
    #[project = InnerProjection]
    enum Inner<F> {
        Passed { #[pin] future: F },
        Ours { future: Answer },
    }
}

impl<F> ResponseFuture<F> {
    pub(super) fn passed(future: F) -> ResponseFuture<F> {
        ResponseFuture { inner: Inner::Passed { future } }
    }

    pub(super) fn ours(future: Answer) -> ResponseFuture<F> {
        ResponseFuture { inner: Inner::Ours { future } }
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<ResponseBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match self.project().inner.project() {
            InnerProjection::Passed { future } => {
                ready!(future.poll(cx)).map(|response| response.map(ResponseBody::passed))
            }
            InnerProjection::Ours { future } => {
                Ok(ready!(future.as_mut().poll(cx)).map(ResponseBody::ours))
            }
        })
    }
}

impl<F> std::fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
