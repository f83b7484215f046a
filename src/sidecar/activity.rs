//! What a connection does, seen from its socket: bounds on clients that do too little.
//!
//! hyper bounds one thing, the time from one request's end to the next one's whole head. A load
//! balancer keeps its connections open for a minute between requests, and a head that takes a
//! minute is an attack, so the two are told apart here; and neither hyper nor the operating
//! system gives up on a peer that does not read.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::Version;
use http_body::{Body, Frame, SizeHint};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use super::server::Limits;

/// What one connection does. Times are milliseconds since it was accepted.
#[derive(Debug)]
pub(super) struct Activity {
    accepted: Instant,
    /// Requests between their head and the last byte of their response.
    in_flight: AtomicU32,
    /// Bytes of a next request have come.
    heard: AtomicBool,
    /// HTTP/2 also carries pings, so bytes between requests are no request's head.
    http2: AtomicBool,
    /// When the connection fell idle, or when those bytes came.
    since_ms: AtomicU64,
}

impl Activity {
    pub(super) fn new() -> Arc<Activity> {
        Arc::new(Activity {
            accepted: Instant::now(),
            in_flight: AtomicU32::new(0),
            heard: AtomicBool::new(false),
            http2: AtomicBool::new(false),
            since_ms: AtomicU64::new(0),
        })
    }

    /// A request's head is complete; it is in flight while the guard lives.
    pub(super) fn begin(self: &Arc<Activity>, version: Version) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        if version == Version::HTTP_2 {
            self.http2.store(true, Ordering::Relaxed);
        }
        self.heard.store(false, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }

    /// Returns when the connection is over one of its limits. It looks once in the shortest of
    /// them instead of being woken by every request, so it may be late by as much.
    pub(super) async fn over(&self, limits: &Limits) {
        loop {
            sleep(limits.head.min(limits.idle)).await;
            if self.in_flight.load(Ordering::Relaxed) > 0 {
                continue;
            }
            let heard = self.heard.load(Ordering::Relaxed);
            let limit = match heard && !self.http2.load(Ordering::Relaxed) {
                true => limits.head,
                false => limits.idle,
            };
            let quiet_ms = self.now_ms().saturating_sub(self.since_ms.load(Ordering::Relaxed));
            if Duration::from_millis(quiet_ms) >= limit {
                return;
            }
        }
    }

    fn read_something(&self) {
        let idle = self.in_flight.load(Ordering::Relaxed) == 0;
        if idle && !self.heard.swap(true, Ordering::Relaxed) {
            self.since_ms.store(self.now_ms(), Ordering::Relaxed);
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.accepted.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// A request in flight.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Activity>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.since_ms.store(self.0.now_ms(), Ordering::Relaxed);
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

pin_project_lite::pin_project! {
    /// A response's body, whose request is in flight while it lives.
    #[derive(Debug)]
    pub(super) struct Counted<B> {
        #[pin]
        body: B,
        in_flight: InFlight,
    }
}

impl<B> Counted<B> {
    pub(super) fn new(body: B, in_flight: InFlight) -> Counted<B> {
        Counted { body, in_flight }
    }
}

impl<B: Body> Body for Counted<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().body.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The connection's socket: notes what is read, and fails when the peer reads nothing for long.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TokioIo<TcpStream>,
    activity: Arc<Activity>,
    stall: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, activity: Arc<Activity>, stall: Duration) -> Socket {
        Socket { stream: TokioIo::new(stream), activity, stall, stalled: None }
    }

    fn written(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stall = self.stall;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(stall)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Read for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let socket = self.get_mut();
        let read = ready!(Pin::new(&mut socket.stream).poll_read(cx, buf));
        socket.activity.read_something();
        Poll::Ready(read)
    }
}

impl Write for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let socket = self.get_mut();
        let written = Pin::new(&mut socket.stream).poll_write(cx, buf);
        socket.written(cx, written)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let socket = self.get_mut();
        let written = Pin::new(&mut socket.stream).poll_write_vectored(cx, bufs);
        socket.written(cx, written)
    }
}
