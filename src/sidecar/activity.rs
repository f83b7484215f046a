//! A connection's activity, as its socket sees it, and bounds on clients that do too little.
//!
//! hyper bounds only the time from one request's end to the next one's whole head. A load balancer
//! keeps its connections open for a minute between requests, and a head that takes a minute is an
//! attack, so these limits distinguish the two. Neither hyper nor the operating system gives up on
//! a peer that does not read.

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

/// The least that a client must do, and the most that it may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest time from the first byte of a request to its whole head.
    pub head: Duration,
    /// The longest time without a request. Load balancers keep connections for 60 s and must be the
    /// side that closes them: otherwise they send into a closed connection.
    pub idle: Duration,
    /// The longest time in which a client takes none of a response's bytes.
    pub stall: Duration,
    /// The most connections at a time; more wait in the operating system's queue.
    pub connections: usize,
    /// The most bytes of a request's head, and of a body that is read ahead, for each connection.
    pub head_bytes: usize,
    /// The most requests at a time on one HTTP/2 connection.
    pub streams: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            head: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            stall: Duration::from_secs(60),
            connections: 10_000,
            head_bytes: 64 * 1024,
            streams: 100,
        }
    }
}

/// The activity of one connection. Times are milliseconds since it was accepted.
#[derive(Debug)]
pub(super) struct Activity {
    accepted: Instant,
    /// Requests between their head and the last byte of their response.
    in_flight: AtomicU32,
    /// Bytes of the next request have arrived.
    head_started: AtomicBool,
    /// HTTP/2 also carries pings, so bytes between requests need not be a request's head.
    http2: AtomicBool,
    /// When the connection became idle, or when those bytes arrived.
    since_ms: AtomicU64,
}

impl Activity {
    pub(super) fn new() -> Arc<Activity> {
        Arc::new(Activity {
            accepted: Instant::now(),
            in_flight: AtomicU32::new(0),
            head_started: AtomicBool::new(false),
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
        self.head_started.store(false, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }

    /// Returns when the connection exceeds one of its limits. It checks once in the shortest of
    /// them instead of waking for every request, so it may be late by as much.
    pub(super) async fn exceeds(&self, limits: &Limits) {
        loop {
            sleep(limits.head.min(limits.idle)).await;
            if self.in_flight.load(Ordering::Relaxed) > 0 {
                continue;
            }
            let head_started = self.head_started.load(Ordering::Relaxed);
            let limit = match head_started && !self.http2.load(Ordering::Relaxed) {
                true => limits.head,
                false => limits.idle,
            };
            let quiet_ms = self.now_ms().saturating_sub(self.since_ms.load(Ordering::Relaxed));
            if Duration::from_millis(quiet_ms) >= limit {
                return;
            }
        }
    }

    fn on_read(&self) {
        let idle = self.in_flight.load(Ordering::Relaxed) == 0;
        if idle && !self.head_started.swap(true, Ordering::Relaxed) {
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
    pub(super) struct CountedBody<B> {
        #[pin]
        body: B,
        in_flight: InFlight,
    }
}

impl<B> CountedBody<B> {
    pub(super) fn new(body: B, in_flight: InFlight) -> CountedBody<B> {
        CountedBody { body, in_flight }
    }
}

impl<B: Body> Body for CountedBody<B> {
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

/// The connection's socket. It records reads, and fails when the peer reads nothing for `stall`.
#[derive(Debug)]
pub(super) struct ActivitySocket {
    stream: TokioIo<TcpStream>,
    activity: Arc<Activity>,
    stall: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl ActivitySocket {
    pub(super) fn new(
        stream: TcpStream,
        activity: Arc<Activity>,
        stall: Duration,
    ) -> ActivitySocket {
        ActivitySocket { stream: TokioIo::new(stream), activity, stall, stalled: None }
    }

    fn bound_stall(
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

impl Read for ActivitySocket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let socket = self.get_mut();
        let read = ready!(Pin::new(&mut socket.stream).poll_read(cx, buf));
        socket.activity.on_read();
        Poll::Ready(read)
    }
}

impl Write for ActivitySocket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let socket = self.get_mut();
        let written = Pin::new(&mut socket.stream).poll_write(cx, buf);
        socket.bound_stall(cx, written)
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
        socket.bound_stall(cx, written)
    }
}
