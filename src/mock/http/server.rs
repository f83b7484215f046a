//! The simulated providers on a socket.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::host_check;
use crate::mock::dispatch::CallOutcome;
use crate::mock::in_process::InProcess;

/// The most bytes of a request's body.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// How long the connections in flight may take to end: longer than a provider's reply, so that a
/// client that never finishes its request does not keep the mock from stopping.
const DRAIN: Duration = Duration::from_secs(5);

/// The pause after the listener failed to accept a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `stop` changes, then waits for the connections in flight.
pub(in crate::mock) async fn serve(
    listener: TcpListener,
    providers: InProcess,
    mut stop: watch::Receiver<bool>,
) {
    // A listener beyond loopback is on demand, and admits every host that reaches it.
    let is_private = listener.local_addr().is_ok_and(|addr| addr.ip().is_loopback());
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let context = ConnectionContext { providers: providers.clone(), is_private };
                    connections.spawn(serve_connection(stream, context, stop.clone()));
                }
                // Such as too many open files: another connection may end meanwhile.
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = connections.join_next() => {}
            _ = stop.changed() => break,
        }
    }
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(DRAIN, drained).await;
}

/// The context of every connection.
#[derive(Clone)]
struct ConnectionContext {
    providers: InProcess,
    /// Whether the listener is on loopback.
    is_private: bool,
}

async fn serve_connection(
    stream: TcpStream,
    context: ConnectionContext,
    mut stop: watch::Receiver<bool>,
) {
    let reset = Arc::new(AtomicBool::new(false));
    let socket = TokioIo::new(ResettableStream { stream, reset: reset.clone() });
    let service = service_fn(move |request| {
        let (context, reset) = (context.clone(), reset.clone());
        async move { respond(request, &context, &reset).await }
    });
    let mut http1 = hyper::server::conn::http1::Builder::new();
    let connection = http1.timer(TokioTimer::new()).serve_connection(socket, service);
    let mut connection = std::pin::pin!(connection);
    // An error is the client's, or a fault demands it: there is nothing to report.
    tokio::select! {
        _ = connection.as_mut() => {}
        _ = stop.changed() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

/// A fault demands that the connection ends without a response.
#[derive(Debug)]
struct ConnectionDropped;

impl std::fmt::Display for ConnectionDropped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the provider drops the connection on demand")
    }
}

impl std::error::Error for ConnectionDropped {}

async fn respond(
    request: Request<Incoming>,
    context: &ConnectionContext,
    reset: &AtomicBool,
) -> Result<Response<Full<Bytes>>, ConnectionDropped> {
    let (parts, body) = request.into_parts();
    if let Some(refusal) = host_check::refusal(&parts, context.is_private) {
        return Ok(refusal.map(Full::new));
    }
    let Ok(body) = Limited::new(body, BODY_BYTES_MAX).collect().await else {
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
        return Ok(response);
    };
    let request = Request::from_parts(parts, body.to_bytes());
    match context.providers.answer(&request).await {
        CallOutcome::Response(response, delay) => {
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            Ok(response.map(Full::new))
        }
        CallOutcome::Hangup => Err(ConnectionDropped),
        CallOutcome::Reset => {
            reset.store(true, Ordering::Relaxed);
            Err(ConnectionDropped)
        }
    }
}

/// A connection that can be reset instead of closed when it is dropped.
struct ResettableStream {
    stream: TcpStream,
    reset: Arc<AtomicBool>,
}

impl Drop for ResettableStream {
    fn drop(&mut self) {
        if self.reset.load(Ordering::Relaxed) {
            // Without lingering a close is a reset. If the option fails, it stays a close.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for ResettableStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for ResettableStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
