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

use bytes::{Buf, Bytes};
use http::Version;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep};

use super::limit_counters::{Limit, LimitCounters};
use super::rejected_head::{HeadSize, worded};
use super::request_lines::RequestLines;

/// The least that a client must do, and the most that it may take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The longest time from the first byte of a request to its whole head.
    pub head: Duration,
    /// The longest time without a request. Load balancers keep connections for 60 s and must be the
    /// side that closes them: otherwise they send into a closed connection.
    pub idle: Duration,
    /// The longest time without progress: a client takes none of a response's bytes, or sends none
    /// of a body's.
    pub stall: Duration,
    /// The least bytes of a body in a second, after a grace period.
    pub body_rate: u64,
    /// The longest time from a request's last byte to the head of the upstream's response.
    pub upstream: Duration,
    /// The longest time without a byte in an upgraded connection.
    pub tunnel: Duration,
    /// The time after which the operating system probes a quiet connection's peer.
    pub keepalive: Duration,
    /// The most connections at a time. One more closes the longest idle one, or waits.
    pub connections: usize,
    /// The most connections to the upstream at a time.
    pub upstreams: usize,
    /// The most bytes of a request's head, and of a body that is read ahead, for each connection.
    pub head_bytes: usize,
    /// The most requests at a time on one HTTP/2 connection.
    pub streams: u32,
    /// How often each of them acted.
    pub counters: LimitCounters,
}

impl Limits {
    /// These limits with at most so many connections. One in eight is no request's to the upstream:
    /// however slow that is, a payment finds one.
    #[must_use]
    pub fn with_connections(self, connections: usize) -> Limits {
        let upstreams = connections.saturating_sub(connections / 8);
        Limits { connections, upstreams, ..self }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            head: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            stall: Duration::from_secs(60),
            body_rate: 1024,
            upstream: Duration::from_secs(60),
            tunnel: Duration::from_secs(3600),
            keepalive: Duration::from_secs(60),
            connections: 10_000,
            upstreams: 10_000,
            head_bytes: 64 * 1024,
            streams: 100,
            counters: LimitCounters::default(),
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
    /// A response was begun whose bytes have not all left.
    responding: AtomicBool,
    /// A response was begun before its request's body had ended.
    body_unread: AtomicBool,
    /// The response has left, and the rest of its request's body is thrown away.
    lingers: AtomicBool,
    /// The requests whose heads were complete.
    begun: AtomicU64,
    /// The number of the first request, from 0, whose target has a fragment.
    fragment_at: AtomicU64,
    /// The listener needs the connection's place.
    unwanted: Notify,
    /// A request's head is complete.
    requested: Notify,
}

impl Activity {
    pub(super) fn new() -> Arc<Activity> {
        Arc::new(Activity {
            accepted: Instant::now(),
            in_flight: AtomicU32::new(0),
            head_started: AtomicBool::new(false),
            http2: AtomicBool::new(false),
            since_ms: AtomicU64::new(0),
            responding: AtomicBool::new(false),
            body_unread: AtomicBool::new(false),
            lingers: AtomicBool::new(false),
            begun: AtomicU64::new(0),
            fragment_at: AtomicU64::new(u64::MAX),
            unwanted: Notify::new(),
            requested: Notify::new(),
        })
    }

    /// A request's head is complete; it is in flight while the guard lives.
    pub(super) fn begin(self: &Arc<Activity>, version: Version) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        if version == Version::HTTP_2 {
            self.http2.store(true, Ordering::Relaxed);
        }
        self.head_started.store(false, Ordering::Relaxed);
        self.requested.notify_one();
        let number = self.begun.fetch_add(1, Ordering::Relaxed);
        InFlight { activity: Arc::clone(self), number }
    }

    /// Whether the connection waits for nothing but its client's end.
    pub(super) fn lingers(&self) -> bool {
        self.lingers.load(Ordering::Relaxed)
    }

    /// Returns when the connection has a request.
    pub(super) async fn next_request(&self) {
        while self.in_flight.load(Ordering::Relaxed) == 0 {
            // The first time, this may be the request before.
            self.requested.notified().await;
        }
    }

    pub(super) fn begins_response(&self) {
        self.responding.store(true, Ordering::Relaxed);
    }

    pub(super) fn leaves_body_unread(&self) {
        self.body_unread.store(true, Ordering::Relaxed);
    }

    /// For how long the connection has had no request; none while it has one.
    pub(super) fn idle_for(&self) -> Option<Duration> {
        let is_idle = self.in_flight.load(Ordering::Relaxed) == 0;
        let since_ms = Duration::from_millis(self.since_ms.load(Ordering::Relaxed));
        is_idle.then(|| self.accepted.elapsed().saturating_sub(since_ms))
    }

    /// Ends the connection unless it has a request by then.
    pub(super) fn shed(&self) {
        self.unwanted.notify_one();
    }

    /// Returns when the connection is idle and the listener needs its place.
    pub(super) async fn is_shed(&self) {
        loop {
            self.unwanted.notified().await;
            if self.idle_for().is_some() {
                return;
            }
        }
    }

    /// Whether bytes of a head have come, and nothing is left to send.
    fn is_reading_head(&self) -> bool {
        self.head_started.load(Ordering::Relaxed)
            && self.in_flight.load(Ordering::Relaxed) == 0
            && !self.responding.load(Ordering::Relaxed)
    }

    /// Returns the limit that the connection exceeds. It checks once in the shortest of
    /// them instead of waking for every request, so it may be late by as much.
    pub(super) async fn exceeds(&self, limits: &Limits) -> Limit {
        loop {
            sleep(limits.head.min(limits.idle)).await;
            if self.in_flight.load(Ordering::Relaxed) > 0 {
                continue;
            }
            let head_started = self.head_started.load(Ordering::Relaxed);
            let (limit, time) = match head_started && !self.http2.load(Ordering::Relaxed) {
                true => (Limit::HeadTimeout, limits.head),
                false => (Limit::IdleTimeout, limits.idle),
            };
            let quiet_ms = self.now_ms().saturating_sub(self.since_ms.load(Ordering::Relaxed));
            if Duration::from_millis(quiet_ms) >= time {
                return limit;
            }
        }
    }

    /// Whether these bytes begin a head.
    fn on_read(&self) -> bool {
        let idle = self.in_flight.load(Ordering::Relaxed) == 0;
        let begins = idle && !self.head_started.swap(true, Ordering::Relaxed);
        if begins {
            self.since_ms.store(self.now_ms(), Ordering::Relaxed);
        }
        begins
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.accepted.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// A request in flight.
#[derive(Debug)]
pub(super) struct InFlight {
    activity: Arc<Activity>,
    /// From 0 on each connection.
    number: u64,
}

impl InFlight {
    /// Whether the request's target was sent with a fragment.
    pub(super) fn has_fragment(&self) -> bool {
        self.activity.fragment_at.load(Ordering::Relaxed) == self.number
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.activity.since_ms.store(self.activity.now_ms(), Ordering::Relaxed);
        self.activity.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The connection's socket. It records reads, fails when the peer reads nothing for `stall`, words
/// hyper's own refusals, and waits for a client that is still sending before it closes.
#[derive(Debug)]
pub(super) struct ActivitySocket {
    stream: TcpStream,
    activity: Arc<Activity>,
    limits: Limits,
    stalled: Option<Pin<Box<Sleep>>>,
    head: HeadSize,
    lines: RequestLines,
    /// What is sent in place of the bytes that hyper is about to send.
    worded: Option<Bytes>,
    linger: Option<Pin<Box<Sleep>>>,
}

/// The longest time in which the rest of a refused body is thrown away. A socket that is closed
/// with unread bytes resets the connection, and the client may lose the answer (RFC 9112, 9.6).
const LINGER: Duration = Duration::from_secs(30);

impl ActivitySocket {
    pub(super) fn new(
        stream: TcpStream,
        activity: Arc<Activity>,
        limits: Limits,
    ) -> ActivitySocket {
        ActivitySocket {
            stream,
            activity,
            limits,
            stalled: None,
            head: HeadSize::default(),
            lines: RequestLines::default(),
            worded: None,
            linger: None,
        }
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
        let stall = self.limits.stall;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(stall)));
        ready!(stalled.as_mut().poll(cx));
        self.limits.counters.count(Limit::StallTimeout);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Whether `bytes` are a refusal of hyper, whose words are then to be sent.
    fn is_worded(&mut self, bytes: &[u8]) -> bool {
        if self.worded.is_none() && self.activity.is_reading_head() {
            self.worded = worded(bytes, self.head, self.limits.head_bytes);
        }
        self.worded.is_some()
    }

    fn poll_worded(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(words) = self.worded.as_mut().filter(|words| words.has_remaining()) {
            let written = Pin::new(&mut self.stream).poll_write(cx, words);
            if let Poll::Ready(Ok(count)) = written {
                words.advance(count);
            }
            ready!(self.bound_stall(cx, written))?;
        }
        self.worded = None;
        Poll::Ready(Ok(()))
    }

    /// Throws away what a client still sends, until it ends or the time is over.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let over = self.linger.get_or_insert_with(|| Box::pin(sleep(LINGER)));
        if over.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let mut scratch = [0; 16 * 1024];
        // The task yields to others between some reads: a fast client must not hold it.
        for _ in 0..16 {
            let mut buffer = ReadBuf::new(&mut scratch);
            let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                return Poll::Ready(());
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl AsyncRead for ActivitySocket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let socket = self.get_mut();
        let before = buf.filled().len();
        let read = ready!(Pin::new(&mut socket.stream).poll_read(cx, buf));
        if socket.activity.on_read() {
            socket.head = HeadSize::default();
        }
        let bytes = buf.filled().get(before..).unwrap_or_default();
        if socket.activity.in_flight.load(Ordering::Relaxed) == 0 {
            socket.head.add(bytes);
        }
        if let Some(number) = socket.lines.read(bytes) {
            socket.activity.fragment_at.fetch_min(number, Ordering::Relaxed);
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for ActivitySocket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let socket = self.get_mut();
        if socket.is_worded(buf) {
            ready!(socket.poll_worded(cx))?;
            return Poll::Ready(Ok(buf.len()));
        }
        let written = Pin::new(&mut socket.stream).poll_write(cx, buf);
        socket.bound_stall(cx, written)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let socket = self.get_mut();
        ready!(Pin::new(&mut socket.stream).poll_flush(cx))?;
        socket.activity.responding.store(false, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let socket = self.get_mut();
        if socket.linger.is_none() {
            ready!(Pin::new(&mut socket.stream).poll_shutdown(cx))?;
        }
        if socket.activity.body_unread.load(Ordering::Relaxed) {
            socket.activity.lingers.store(true, Ordering::Relaxed);
            ready!(socket.poll_linger(cx));
        }
        Poll::Ready(Ok(()))
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
        let mut filled = bufs.iter().filter(|buf| !buf.is_empty());
        if let (Some(only), None) = (filled.next(), filled.next())
            && socket.is_worded(only)
        {
            ready!(socket.poll_worded(cx))?;
            return Poll::Ready(Ok(only.len()));
        }
        let written = Pin::new(&mut socket.stream).poll_write_vectored(cx, bufs);
        socket.bound_stall(cx, written)
    }
}
