//! Ends streams of HTTP/2 whose peer takes nothing: one that opens no window would hold a
//! connection to the upstream for as long as it likes.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::Executor;
use hyper_util::rt::TokioExecutor;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep};

use super::limit_counters::{Limit, LimitCounters};

tokio::task_local! {
    static CURRENT: Arc<StreamProgress>;
}

/// The progress of one stream's response.
#[derive(Debug, Default)]
pub(super) struct StreamProgress(AtomicU64);

impl StreamProgress {
    /// Of the stream that runs here; none in HTTP/1.1, where the socket itself stalls.
    pub(super) fn current() -> Option<Arc<StreamProgress>> {
        CURRENT.try_with(Arc::clone).ok()
    }

    /// The response is there, or a piece of it, and the peer has not taken it.
    pub(super) fn waits_for_peer(&self) {
        // Even numbers wait for the peer; each is a step of its own.
        self.0.store(self.step().saturating_add(2) & !1, Ordering::Relaxed);
    }

    /// The peer has taken every piece, and the next one is awaited from its source.
    pub(super) fn waits_for_source(&self) {
        self.0.store(self.step() | 1, Ordering::Relaxed);
    }

    fn step(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// The step at which the peer is waited for.
    fn peer_step(&self) -> Option<u64> {
        Some(self.step()).filter(|step| *step > 0 && step % 2 == 0)
    }
}

/// Runs the streams of HTTP/2 and ends those that stall. The peer gets RST_STREAM.
#[derive(Clone, Debug)]
pub(super) struct StreamExecutor {
    pub(super) stall: Duration,
    pub(super) counters: LimitCounters,
}

impl<F> Executor<F> for StreamExecutor
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, stream: F) {
        TokioExecutor::new().execute(WatchedStream {
            stream,
            progress: Arc::default(),
            stall: self.stall,
            counters: self.counters.clone(),
            seen: 0,
            stalled: None,
        });
    }
}

pin_project! {
    struct WatchedStream<F> {
        #[pin]
        stream: F,
        progress: Arc<StreamProgress>,
        stall: Duration,
        counters: LimitCounters,
        // The step since which `stalled` runs.
        seen: u64,
        stalled: Option<Pin<Box<Sleep>>>,
    }
}

impl<F: Future> Future for WatchedStream<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let stream = this.stream;
        let polled = CURRENT.sync_scope(Arc::clone(this.progress), || stream.poll(cx));
        if polled.is_ready() {
            return Poll::Ready(());
        }
        let Some(step) = this.progress.peer_step() else {
            *this.stalled = None;
            return Poll::Pending;
        };
        let stall = *this.stall;
        let stalled = this.stalled.get_or_insert_with(|| Box::pin(sleep(stall)));
        if step != *this.seen {
            *this.seen = step;
            stalled.as_mut().reset(Instant::now() + stall);
        }
        let stalled = stalled.as_mut().poll(cx);
        if stalled.is_ready() {
            this.counters.count(Limit::StallTimeout);
        }
        stalled
    }
}
