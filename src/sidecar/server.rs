//! One listener: accepts, serves HTTP/1.1 and HTTP/2 (prior knowledge), drains.

use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tower_service::Service;

pub use super::activity::Limits;
use super::activity::{Activity, ActivitySocket, CountedBody};
use super::proxy::tunnel::TunnelSlot;
use super::shutdown::ShutdownWatch;

/// The peer's address of the connection that carries a request: an extension of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

/// Serves `listener` until `drain` begins; then accepts no more connections, lets the requests in
/// flight finish for at most the grace period, and closes the rest.
pub async fn serve<S, B>(listener: TcpListener, service: S, limits: Limits, mut drain: Drain)
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<Box<dyn Error + Send + Sync>> + Send,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let permits = Arc::new(Semaphore::new(limits.connections));
    let http = Arc::new(protocols(&limits));
    let mut connections = JoinSet::new();
    loop {
        let (stream, peer, permit) = tokio::select! {
            biased;
            () = drain.stopping.wait() => break,
            Some(ended) = connections.join_next() => {
                log_panic(ended);
                continue;
            }
            accepted = accept(&listener, &permits) => accepted,
        };
        let connection =
            Connection { http: Arc::clone(&http), limits, peer, stopping: drain.stopping.clone() };
        let service = service.clone();
        connections.spawn(async move {
            connection.run(stream, service).await;
            drop(permit);
        });
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

fn protocols(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1().max_buf_size(limits.head_bytes).header_read_timeout(None);
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX));
    http
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit) {
    let permit = Arc::clone(permits).acquire_owned().await.expect("nothing closes the semaphore");
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer, permit),
            // The client left before its connection was accepted.
            Err(error) if is_connection_error(&error) => {}
            // Out of file descriptors or memory: connections in use must end first.
            Err(error) => {
                tracing::warn!(%error, "the listener cannot accept a connection");
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
    http: Arc<auto::Builder<TokioExecutor>>,
    limits: Limits,
    peer: SocketAddr,
    stopping: ShutdownWatch,
}

impl Connection {
    async fn run<S, B>(mut self, stream: TcpStream, service: S)
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Error: Into<Box<dyn Error + Send + Sync>> + Send,
        S::Future: Send,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        // Small responses must not wait for the acknowledgement of the one before.
        let _ = stream.set_nodelay(true);
        let activity = Activity::new();
        let tunnel = TunnelSlot::default();
        let socket = ActivitySocket::new(stream, Arc::clone(&activity), self.limits.stall);
        let (peer, slot, counter) = (self.peer, tunnel.clone(), Arc::clone(&activity));
        let service = service_fn(move |mut request: Request<Incoming>| {
            let in_flight = counter.begin(request.version());
            let mut service = service.clone();
            request.extensions_mut().insert(PeerAddr(peer));
            if request.headers().contains_key(http::header::UPGRADE) {
                request.extensions_mut().insert(slot.clone());
            }
            async move {
                poll_fn(|cx| service.poll_ready(cx)).await?;
                let response = service.call(request).await?;
                Ok::<_, S::Error>(response.map(|body| CountedBody::new(body, in_flight)))
            }
        });
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
                () = activity.exceeds(&self.limits) => return,
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
