//! One listener: accepts, serves HTTP/1.1 and HTTP/2 (prior knowledge), drains.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tower_service::Service;

use super::activity::ActivitySocket;
pub use super::activity::Limits;
pub use super::client_body::{ClientBody, ClientBodyError};
use super::connections::{Connections, Place};
use super::exchange::ConnectionParts;
pub use super::exchange::PeerAddr;
use super::limit_counters::Limit;
pub use super::process_mark::ProcessMark;
use super::proxy::tunnel::TunnelSlot;
use super::shutdown::ShutdownWatch;
use super::stream_stall::StreamExecutor;

/// Serves `listener` until `drain` begins; then accepts no more connections, lets the requests in
/// flight finish for at most the grace period, and closes the rest. A request with `mark` is a
/// loop.
pub async fn serve<S, B>(
    listener: TcpListener,
    service: S,
    limits: Limits,
    mark: ProcessMark,
    mut drain: Drain,
) where
    S: Service<Request<ClientBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<Box<dyn Error + Send + Sync>> + Send,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let places = Connections::new(&limits);
    let http = Arc::new(protocols(&limits));
    let mut connections = JoinSet::new();
    // A connection that is accepted and has no place yet.
    let mut waiting = None;
    loop {
        let place = tokio::select! {
            biased;
            () = drain.stopping.wait() => break,
            Some(ended) = connections.join_next() => {
                log_panic(ended);
                continue;
            }
            place = places.place(), if waiting.is_some() => place,
            accepted = accept(&listener, &places), if waiting.is_none() => {
                waiting = Some(accepted);
                continue;
            }
        };
        let Some((stream, peer)) = waiting.take() else { continue };
        let parts = ConnectionParts {
            service: service.clone(),
            limits: limits.clone(),
            peer,
            activity: place.activity(),
            tunnel: TunnelSlot::default(),
            mark: mark.clone(),
        };
        let connection =
            Connection { http: Arc::clone(&http), stopping: drain.stopping.clone(), place };
        connections.spawn(connection.run(stream, parts));
    }
    drop(listener);
    finish(connections, drain.grace).await;
}

/// When the listener drains, and for how long requests in flight may continue.
#[derive(Clone, Debug)]
pub struct Drain {
    /// Begins the drain.
    pub stopping: ShutdownWatch,
    /// The grace period.
    pub grace: Duration,
}

fn protocols(limits: &Limits) -> auto::Builder<StreamExecutor> {
    let mut http = auto::Builder::new(StreamExecutor {
        stall: limits.stall,
        counters: limits.counters.clone(),
    });
    // A client that has sent its request may close its side and read (RFC 9112, 9.6).
    http.http1().max_buf_size(limits.head_bytes).header_read_timeout(None).half_close(true);
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX));
    http
}

async fn accept(listener: &TcpListener, places: &Connections) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            // The client left before its connection was accepted.
            Err(error) if is_connection_error(&error) => {}
            // Out of file descriptors or memory: connections in use must end first.
            Err(error) => {
                places.warn_of_shortage(&error);
                places.shed_longest_idle();
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn is_connection_error(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

async fn finish(mut connections: JoinSet<()>, grace: Duration) {
    let all = async {
        while let Some(ended) = connections.join_next().await {
            log_panic(ended);
        }
    };
    if timeout(grace, all).await.is_err() {
        tracing::warn!(
            connections = connections.len(),
            "the listener closed connections after the grace period"
        );
        connections.shutdown().await;
    }
}

fn log_panic(ended: Result<(), JoinError>) {
    if ended.is_err_and(|error| error.is_panic()) {
        tracing::error!("a connection's task panicked");
    }
}

struct Connection {
    http: Arc<auto::Builder<StreamExecutor>>,
    stopping: ShutdownWatch,
    place: Place,
}

impl Connection {
    async fn run<S, B>(mut self, stream: TcpStream, parts: ConnectionParts<S>)
    where
        S: Service<Request<ClientBody>, Response = Response<B>> + Clone + Send + 'static,
        S::Error: Into<Box<dyn Error + Send + Sync>> + Send,
        S::Future: Send,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        // Small responses must not wait for the acknowledgement of the one before.
        let _ = stream.set_nodelay(true);
        keep_alive(&stream, parts.limits.keepalive);
        let activity = self.place.activity();
        let (limits, tunnel) = (parts.limits.clone(), parts.tunnel.clone());
        let socket = ActivitySocket::new(stream, Arc::clone(&activity), limits.clone());
        let service = service_fn(move |request: Request<Incoming>| parts.clone().answer(request));
        let socket = TokioIo::new(socket);
        let mut http = pin!(self.http.serve_connection_with_upgrades(socket, service));
        let mut draining = false;
        loop {
            tokio::select! {
                served = http.as_mut() => {
                    if let Err(error) = served {
                        tracing::debug!(error, "a connection failed");
                    }
                    break;
                }
                limit = activity.exceeds(&limits) => return limits.counters.count(limit),
                () = activity.is_shed() => return limits.counters.count(Limit::ConnectionsShed),
                () = self.stopping.wait(), if !draining => {
                    draining = true;
                    http.as_mut().graceful_shutdown();
                }
            }
        }
        if let Some(tunnel) = tunnel.take() {
            tunnel.await;
        }
    }
}

/// Has the operating system probe a quiet peer. One that vanished without a word otherwise keeps
/// its connection for ever.
fn keep_alive(stream: &TcpStream, after: Duration) {
    let keepalive = TcpKeepalive::new()
        .with_time(after)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_RETRIES);
    if let Err(error) = SockRef::from(stream).set_tcp_keepalive(&keepalive) {
        tracing::debug!(%error, "a connection has no keepalive");
    }
}

/// The time between two probes of a peer that does not answer.
pub(super) const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// The unanswered probes after which the connection ends.
pub(super) const KEEPALIVE_RETRIES: u32 = 4;
