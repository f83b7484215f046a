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
use crate::mock::in_process::InProcess;
use crate::mock::world::Outcome;

/// The most bytes of a request's body.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// How long what is in flight may take to end: longer than a provider's reply, and a client that
/// never finishes its request does not keep the mock from stopping.
const DRAIN: Duration = Duration::from_secs(5);

/// How long to wait when no connection can be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `stop` changes, then ends what is in flight.
pub(in crate::mock) async fn serve(
    listener: TcpListener,
    providers: InProcess,
    mut stop: watch::Receiver<bool>,
) {
    // Beyond loopback only on demand: whoever reaches it there may use it.
    let is_private = listener.local_addr().is_ok_and(|it| it.ip().is_loopback());
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let door = Door { providers: providers.clone(), is_private };
                    connections.spawn(converse(stream, door, stop.clone()));
                }
                // Such as too many open files: others may end meanwhile.
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

/// What a connection leads to.
#[derive(Clone)]
struct Door {
    providers: InProcess,
    /// Whether only this machine gets in.
    is_private: bool,
}

async fn converse(stream: TcpStream, door: Door, mut stop: watch::Receiver<bool>) {
    let reset = Arc::new(AtomicBool::new(false));
    let socket = TokioIo::new(Socket { stream, reset: reset.clone() });
    let service = service_fn(move |request| {
        let (door, reset) = (door.clone(), reset.clone());
        async move { respond(request, &door, &reset).await }
    });
    let mut http1 = hyper::server::conn::http1::Builder::new();
    let connection = http1.timer(TokioTimer::new()).serve_connection(socket, service);
    let mut connection = std::pin::pin!(connection);
    // An error is the client's, or one that was asked for: there is nobody to tell.
    tokio::select! {
        _ = connection.as_mut() => {}
        _ = stop.changed() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

/// The provider hung up, as it was asked to.
#[derive(Debug)]
struct HungUp;

impl std::fmt::Display for HungUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("hung up")
    }
}

impl std::error::Error for HungUp {}

async fn respond(
    request: Request<Incoming>,
    door: &Door,
    reset: &AtomicBool,
) -> Result<Response<Full<Bytes>>, HungUp> {
    let (parts, body) = request.into_parts();
    if let Some(refusal) = host_check::refusal(&parts, door.is_private) {
        return Ok(refusal.map(Full::new));
    }
    let Ok(body) = Limited::new(body, BODY_BYTES_MAX).collect().await else {
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
        return Ok(response);
    };
    match door.providers.answer(&Request::from_parts(parts, body.to_bytes())) {
        Outcome::Response(response, delay) => {
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            Ok(response.map(Full::new))
        }
        Outcome::Hangup => Err(HungUp),
        Outcome::Reset => {
            reset.store(true, Ordering::Relaxed);
            Err(HungUp)
        }
    }
}

/// A connection that can be reset instead of closed.
struct Socket {
    stream: TcpStream,
    reset: Arc<AtomicBool>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.reset.load(Ordering::Relaxed) {
            // Without lingering a close is a reset. If it cannot be set, it stays a close.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
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
