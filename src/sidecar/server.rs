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

pub use super::activity::Limits;
use super::activity::{Activity, ActivitySocket};
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
/// flight finish for at most the grace period, and closes the rest. Upgraded connections end when
/// the store was handed over. A request with `mark` is a loop.
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
    let serving = Serving { service, limits, mark, http, drain: drain.clone() };
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
        let Some(accepted) = waiting.take() else { continue };
        connections.spawn(serving.connection(accepted, place));
    }
    drop(listener);
    if let Some(accepted) = waiting {
        // Its client is connected already: it gets the place of one that ends.
        connections.spawn(async move {
            let place = places.place().await;
            serving.connection(accepted, place).await;
        });
    }
    finish(connections, drain.grace).await;
}

/// A connection that was accepted, and its peer.
type Accepted = (TcpStream, SocketAddr);

/// What the connections of one listener share.
struct Serving<S> {
    service: S,
    limits: Limits,
    mark: ProcessMark,
    http: Arc<auto::Builder<StreamExecutor>>,
    drain: Drain,
}

impl<S, B> Serving<S>
where
    S: Service<Request<ClientBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<Box<dyn Error + Send + Sync>> + Send,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    /// Serves one connection.
    fn connection(
        &self,
        (stream, peer): Accepted,
        place: Place,
    ) -> impl Future<Output = ()> + Send + use<S, B> {
        let parts = ConnectionParts {
            service: self.service.clone(),
            limits: self.limits.clone(),
            peer,
            activity: place.activity(),
            tunnel: TunnelSlot::default(),
            mark: self.mark.clone(),
        };
        let Drain { stopping, handed_over, .. } = self.drain.clone();
        let connection = Connection { http: Arc::clone(&self.http), stopping, handed_over, place };
        connection.run(stream, parts)
    }
}

/// When the listener drains, and for how long requests in flight may continue.
#[derive(Clone, Debug)]
pub struct Drain {
    /// Begins the drain.
    pub stopping: ShutdownWatch,
    /// Ends upgraded connections: another process can serve their clients.
    pub handed_over: ShutdownWatch,
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

async fn accept(listener: &TcpListener, places: &Connections) -> Accepted {
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
    handed_over: ShutdownWatch,
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
                () = lingers_on(&mut self.handed_over, &activity) => return,
                () = drains(&mut self.stopping, &activity), if !draining => {
                    draining = true;
                    http.as_mut().graceful_shutdown();
                }
            }
        }
        if let Some(tunnel) = tunnel.take() {
            tokio::select! {
                () = tunnel => {}
                () = self.handed_over.wait() => {
                    tracing::debug!("the stop ended an upgraded connection");
                }
            }
        }
    }
}

/// Returns when the connection takes no more requests. A client whose request is on the way would
/// find it closed, and could not know what became of the request: it gets a moment for it, and
/// learns by the answer that the connection ends.
async fn drains(stopping: &mut ShutdownWatch, activity: &Activity) {
    stopping.wait().await;
    // Whether it came or not, the connection drains.
    let _ = timeout(LAST_REQUEST, activity.next_request()).await;
}

/// Returns when the connection lingers although the store was handed over a moment ago: a client
/// that does not close does not keep the process.
async fn lingers_on(handed_over: &mut ShutdownWatch, activity: &Activity) {
    handed_over.wait().await;
    loop {
        sleep(LAST_LINGER).await;
        if activity.lingers() {
            return;
        }
    }
}

/// How long a connection may linger at least after the store was handed over.
const LAST_LINGER: Duration = Duration::from_secs(1);

/// How long a connection without a request stays open when its listener drains.
const LAST_REQUEST: Duration = Duration::from_secs(1);

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
