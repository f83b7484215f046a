//! Upgraded connections (WebSocket): the proxy copies bytes both ways until one side ends, or until
//! neither has sent a byte for long.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::future::BoxFuture;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::sleep;

use crate::sidecar::limit_counters::{Limit, LimitCounters};

/// The tunnel that a connection's task runs after its HTTP part. It runs in that task, so it holds
/// the connection's place and is drained with it.
#[derive(Clone, Default)]
pub(in crate::sidecar) struct TunnelSlot(Arc<Mutex<Option<BoxFuture<'static, ()>>>>);

/// The two sides of a tunnel, and how long it may be quiet.
pub(in crate::sidecar) struct TunnelEnds {
    pub(in crate::sidecar) client: OnUpgrade,
    pub(in crate::sidecar) upstream: OnUpgrade,
    pub(in crate::sidecar) idle: Duration,
    pub(in crate::sidecar) counters: LimitCounters,
}

impl TunnelSlot {
    /// Joins the two sides as soon as both have left HTTP. `place` is the upstream connection's.
    pub(in crate::sidecar) fn join(&self, ends: TunnelEnds, place: Option<OwnedSemaphorePermit>) {
        let tunnel = async move {
            joined(ends).await;
            drop(place);
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::pin(tunnel));
    }

    pub(in crate::sidecar) fn take(&self) -> Option<BoxFuture<'static, ()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Debug for TunnelSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TunnelSlot")
    }
}

async fn joined(ends: TunnelEnds) {
    let (client, upstream) = match (ends.client.await, ends.upstream.await) {
        (Ok(client), Ok(upstream)) => (client, upstream),
        (Err(error), _) | (_, Err(error)) => {
            tracing::debug!(%error, "an upgrade was accepted and then failed");
            return;
        }
    };
    let moved = Arc::new(AtomicU64::new(0));
    let mut client = CountedSide { side: TokioIo::new(client), moved: Arc::clone(&moved) };
    let mut upstream = TokioIo::new(upstream);
    tokio::select! {
        copied = copy_bidirectional(&mut client, &mut upstream) => {
            if let Err(error) = copied {
                tracing::debug!(%error, "an upgraded connection failed");
            }
        }
        () = quiet(&moved, ends.idle) => {
            ends.counters.count(Limit::TunnelTimeout);
            tracing::debug!("a quiet upgraded connection ended");
        }
    }
}

/// Returns when no byte has moved for `idle`, at most a quarter of it later.
async fn quiet(moved: &AtomicU64, idle: Duration) {
    let mut quarters = 0;
    let mut before = moved.load(Ordering::Relaxed);
    while quarters < 4 {
        sleep(idle / 4).await;
        let after = moved.load(Ordering::Relaxed);
        quarters = if after == before { quarters + 1 } else { 0 };
        before = after;
    }
}

/// The client's side. It counts the bytes of both directions.
struct CountedSide<S> {
    side: S,
    moved: Arc<AtomicU64>,
}

impl<S> CountedSide<S> {
    fn count(&self, bytes: usize) {
        self.moved.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for CountedSide<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.side).poll_read(cx, buf))?;
        self.count(buf.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for CountedSide<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.side).poll_write(cx, buf))?;
        self.count(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.side).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.side).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::Instant;

    use super::*;

    #[tokio::test]
    async fn the_bytes_of_both_directions_are_counted() {
        let (client, mut peer) = duplex(64);
        let moved = Arc::new(AtomicU64::new(0));
        let mut client = CountedSide { side: client, moved: Arc::clone(&moved) };
        client.write_all(b"hello").await.unwrap();
        assert_eq!(moved.load(Ordering::Relaxed), 5);
        let mut answer = [0; 6];
        let mut read = std::pin::pin!(client.read_exact(&mut answer));
        peer.write_all(b"to ").await.unwrap();
        tokio::select! {
            biased;
            _ = &mut read => panic!("only a part came"),
            () = std::future::ready(()) => {}
        }
        peer.write_all(b"you").await.unwrap();
        assert_eq!(read.await.unwrap(), 6);
        assert_eq!(moved.load(Ordering::Relaxed), 11);
    }

    #[tokio::test(start_paused = true)]
    async fn a_tunnel_ends_when_no_byte_has_moved_for_its_limit() {
        let limit = Duration::from_secs(60);
        let begun = Instant::now();
        quiet(&AtomicU64::new(0), limit).await;
        assert_eq!(begun.elapsed(), limit);

        let (moved, begun) = (AtomicU64::new(0), Instant::now());
        let one_byte = async {
            sleep(Duration::from_secs(40)).await;
            moved.fetch_add(1, Ordering::Relaxed);
        };
        tokio::join!(quiet(&moved, limit), one_byte);
        assert_eq!(begun.elapsed(), Duration::from_secs(45) + limit, "noticed at the next quarter");
    }
}
