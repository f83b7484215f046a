//! The bodies that go through, and those of our own answers.

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

/// The body of what the proxy answers.
#[derive(Debug)]
pub enum ProxyBody {
    /// The upstream's, as it comes.
    Upstream(Incoming),
    /// Our own.
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

/// A request's body on its way to the upstream; it fails when the client sends nothing for long
/// although more is wanted.
#[derive(Debug)]
pub(in crate::sidecar) struct Paced {
    body: Incoming,
    stall: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Paced {
    pub(in crate::sidecar) fn new(body: Incoming, stall: Duration) -> Paced {
        Paced { body, stall, stalled: None }
    }
}

impl Body for Paced {
    type Data = Bytes;
    type Error = ClientFault;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ClientFault>>> {
        let paced = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut paced.body).poll_frame(cx) {
            paced.stalled = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(ClientFault::Broken)));
        }
        let stall = paced.stall;
        let stalled = paced.stalled.get_or_insert_with(|| Box::pin(sleep(stall)));
        stalled.as_mut().poll(cx).map(|()| Some(Err(ClientFault::TooSlow)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What the client did wrong with its body.
#[derive(Debug)]
pub(in crate::sidecar) enum ClientFault {
    TooSlow,
    Broken(hyper::Error),
}

impl fmt::Display for ClientFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientFault::TooSlow => f.write_str("the request's body does not go on"),
            ClientFault::Broken(error) => write!(f, "the request's body is broken: {error}"),
        }
    }
}

impl std::error::Error for ClientFault {}
