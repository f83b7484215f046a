//! The response's body: the payment handler's, or the inner service's unchanged.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use pin_project_lite::pin_project;

pin_project! {
    /// The body of a [`PaymentService`](super::PaymentService)'s response.
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        #[pin]
        inner: BodyKind<B>,
    }
}

pin_project! {
    #[project = BodyKindProjection]
    #[derive(Debug)]
    enum BodyKind<B> {
        Forwarded { #[pin] body: B },
        Payment { #[pin] body: Full<Bytes> },
    }
}

impl<B> ResponseBody<B> {
    pub(super) fn forwarded(body: B) -> ResponseBody<B> {
        ResponseBody { inner: BodyKind::Forwarded { body } }
    }

    pub(super) fn payment(bytes: Bytes) -> ResponseBody<B> {
        ResponseBody { inner: BodyKind::Payment { body: Full::new(bytes) } }
    }
}

/// An empty body, which layers such as tower-http's `CorsLayer` and `TimeoutLayer` answer with.
impl<B> Default for ResponseBody<B> {
    fn default() -> ResponseBody<B> {
        ResponseBody::payment(Bytes::new())
    }
}

impl<B: Body<Data = Bytes>> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().inner.project() {
            BodyKindProjection::Forwarded { body } => body.poll_frame(cx),
            BodyKindProjection::Payment { body } => {
                body.poll_frame(cx).map_err(|never| match never {})
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            BodyKind::Forwarded { body } => body.is_end_stream(),
            BodyKind::Payment { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            BodyKind::Forwarded { body } => body.size_hint(),
            BodyKind::Payment { body } => body.size_hint(),
        }
    }
}
