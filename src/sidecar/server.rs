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

use super::activity::{Activity, Counted, Socket};
use super::proxy::tunnel::TunnelSlot;
use super::stop::Stopping;

/// The other end of the connection a request came by: an extension of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

/// How little a client may do and how much it may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From the first byte of a request to its whole head.
    pub head: Duration,
    /// Without any request. Load balancers keep connections for 60 s and must be the ones to
    /// close them, else they send into a closed one.
    pub idle: Duration,
    /// A client that does not take a response's bytes.
    pub stall: Duration,
    /// Connections at a time; more wait in the operating system's queue.
    pub connections: usize,
    /// Bytes of a request's head, and of what is read ahead of a body, for each connection.
    pub head_bytes: usize,
    /// Requests at a time on one HTTP/2 connection.
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

/// Serves `listener` until `drain` says stop; then accepts no more, lets what is in flight
/// finish for at most the grace period, and ends the rest.
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
                tell_panic(ended);
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

/// When to stop, and for how long what is in flight may go on.
#[derive(Clone, Debug)]
pub struct Drain {
    /// Says when.
    pub stopping: Stopping,
    /// How long.
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
            // The client was gone before it was its turn.
            Err(error) if of_one_connection(&error) => {}
            // Out of file descriptors or memory: those in use must end first.
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

async fn finish(mut connections: JoinSet<()>, grace: Duration) {
    let all = async {
        while let Some(ended) = connections.join_next().await {
            tell_panic(ended);
        }
    };
    if timeout(grace, all).await.is_err() {
        tracing::warn!(connections = connections.len(), "cut after the grace period");
        connections.shutdown().await;
    }
}

fn tell_panic(ended: Result<(), JoinError>) {
    if ended.is_err_and(|error| error.is_panic()) {
        tracing::error!("a connection's task panicked");
    }
}

struct Connection {
    http: Arc<auto::Builder<TokioExecutor>>,
    limits: Limits,
    peer: SocketAddr,
    stopping: Stopping,
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
        let socket = Socket::new(stream, Arc::clone(&activity), self.limits.stall);
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
                Ok::<_, S::Error>(response.map(|body| Counted::new(body, in_flight)))
            }
        });
        let mut http = pin!(self.http.serve_connection_with_upgrades(socket, service));
        let mut draining = false;
        loop {
            tokio::select! {
                served = http.as_mut() => {
                    if let Err(error) = served {
                        tracing::debug!(error, "a connection broke");
                    }
                    break;
                }
                () = activity.over(&self.limits) => return,
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
