//! A request's body as it comes from the client: paced, and observed to its end.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep};

use super::activity::Limits;
use super::limit_counters::{Limit, LimitCounters};

/// A request's body. It fails when its reader wants more and the client sends nothing for the stall
/// limit, or has been waited for longer than its bytes take at the least rate.
#[derive(Debug)]
pub struct ClientBody {
    body: Incoming,
    progress: Arc<BodyProgress>,
    stall: Duration,
    rate: u64,
    /// How long the client may still be waited for.
    patience: Duration,
    waiting: Option<ClientWait>,
    counters: LimitCounters,
}

#[derive(Debug)]
struct ClientWait {
    since: Instant,
    ends: Pin<Box<Sleep>>,
}

/// How far a request's body has come.
#[derive(Debug)]
pub(super) struct BodyProgress {
    began: Instant,
    ended: AtomicBool,
    waits_for_client: AtomicBool,
    /// The milliseconds from the beginning to the last piece.
    at_ms: AtomicU64,
}

/// The time before the least rate counts: a phone may change its network.
const RATE_GRACE: Duration = Duration::from_secs(10);

impl ClientBody {
    pub(super) fn new(body: Incoming, limits: &Limits) -> ClientBody {
        let progress = BodyProgress {
            began: Instant::now(),
            ended: AtomicBool::new(body.is_end_stream()),
            waits_for_client: AtomicBool::new(false),
            at_ms: AtomicU64::new(0),
        };
        ClientBody {
            body,
            progress: Arc::new(progress),
            stall: limits.stall,
            rate: limits.body_rate,
            patience: RATE_GRACE,
            waiting: None,
            counters: limits.counters.clone(),
        }
    }

    pub(super) fn progress(&self) -> Arc<BodyProgress> {
        Arc::clone(&self.progress)
    }

    fn on_frame(&mut self, frame: Option<&Frame<Bytes>>) {
        if let Some(wait) = self.waiting.take() {
            self.patience = self.patience.saturating_sub(wait.since.elapsed());
        }
        let bytes = frame.and_then(|frame| frame.data_ref()).map_or(0, Bytes::len);
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let earned = Duration::from_millis(bytes.saturating_mul(1000) / self.rate.max(1));
        self.patience = self.patience.saturating_add(earned);
        // Nothing follows trailers, and the proxy's client reads no further.
        let ended = frame.is_none_or(Frame::is_trailers) || self.body.is_end_stream();
        self.progress.on_frame(ended);
    }
}

impl BodyProgress {
    /// Whether nothing more of the body will come.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Returns when nothing but the reader has been waited for during `limit`.
    pub(super) async fn is_quiet_for(&self, limit: Duration) {
        loop {
            let quiet = self.began.elapsed().saturating_sub(self.last());
            if quiet >= limit && !self.waits_for_client.load(Ordering::Relaxed) {
                return;
            }
            sleep(limit.saturating_sub(quiet).max(limit / 4)).await;
        }
    }

    fn last(&self) -> Duration {
        Duration::from_millis(self.at_ms.load(Ordering::Relaxed))
    }

    fn on_frame(&self, ended: bool) {
        let at = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.at_ms.store(at, Ordering::Relaxed);
        self.waits_for_client.store(false, Ordering::Relaxed);
        if ended {
            self.ended.store(true, Ordering::Relaxed);
        }
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = ClientBodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ClientBodyError>>> {
        let client = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut client.body).poll_frame(cx) {
            return Poll::Ready(match frame {
                Some(Err(error)) => Some(Err(ClientBodyError::Broken(error))),
                Some(Ok(frame)) => {
                    client.on_frame(Some(&frame));
                    Some(Ok(frame))
                }
                None => {
                    client.on_frame(None);
                    None
                }
            });
        }
        client.progress.waits_for_client.store(true, Ordering::Relaxed);
        let limit = client.stall.min(client.patience);
        let wait = client.waiting.get_or_insert_with(|| ClientWait {
            since: Instant::now(),
            ends: Box::pin(sleep(limit)),
        });
        wait.ends.as_mut().poll(cx).map(|()| {
            let is_stalled = client.stall < client.patience;
            client.counters.count(if is_stalled { Limit::StallTimeout } else { Limit::BodyRate });
            Some(Err(ClientBodyError::TooSlow))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The client's fault in its body.
#[derive(Debug)]
pub enum ClientBodyError {
    /// It came too slowly.
    TooSlow,
    /// It ended early, or was invalidly framed.
    Broken(hyper::Error),
}

impl fmt::Display for ClientBodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientBodyError::TooSlow => f.write_str("the request's body came too slowly"),
            ClientBodyError::Broken(error) => write!(f, "the request's body is broken: {error}"),
        }
    }
}

impl std::error::Error for ClientBodyError {}
