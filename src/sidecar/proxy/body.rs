//! The bodies that the proxy forwards, and those of the sidecar's own refusals.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::{Sleep, sleep};

/// The body of a proxy's response.
#[derive(Debug)]
pub enum ProxyBody {
    /// The upstream's body, streamed.
    Upstream(Incoming),
    /// The sidecar's own body.
    Own(Full<Bytes>),
}

impl Body for ProxyBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            ProxyBody::Upstream(body) => Pin::new(body).poll_frame(cx),
            ProxyBody::Own(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            ProxyBody::Upstream(body) => body.is_end_stream(),
            ProxyBody::Own(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            ProxyBody::Upstream(body) => body.size_hint(),
            ProxyBody::Own(body) => body.size_hint(),
        }
    }
}

/// A request's body on its way to the upstream. It fails when the upstream wants more and the
/// client sends nothing for `stall`.
#[derive(Debug)]
pub(in crate::sidecar) struct PacedBody {
    body: Incoming,
    stall: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl PacedBody {
    pub(in crate::sidecar) fn new(body: Incoming, stall: Duration) -> PacedBody {
        PacedBody { body, stall, stalled: None }
    }
}

impl Body for PacedBody {
    type Data = Bytes;
    type Error = ClientBodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ClientBodyError>>> {
        let paced = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut paced.body).poll_frame(cx) {
            paced.stalled = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(ClientBodyError::Broken)));
        }
        let stall = paced.stall;
        let stalled = paced.stalled.get_or_insert_with(|| Box::pin(sleep(stall)));
        stalled.as_mut().poll(cx).map(|()| Some(Err(ClientBodyError::TooSlow)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The client's fault in its body.
#[derive(Debug)]
pub(in crate::sidecar) enum ClientBodyError {
    TooSlow,
    Broken(hyper::Error),
}

impl fmt::Display for ClientBodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientBodyError::TooSlow => f.write_str("the request's body stalled"),
            ClientBodyError::Broken(error) => write!(f, "the request's body is broken: {error}"),
        }
    }
}

impl std::error::Error for ClientBodyError {}
