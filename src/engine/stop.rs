//! The engine's stop: what it waits for, for how long, and what it refuses.

use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::sleep;

use super::in_flight::OperationGuard;
use super::parts::{Engine, EngineParts};
use crate::error::{Error, Kind};

/// How long after the stop began a request may still be read and priced, and the shop's endpoint
/// may answer an event. A client or an endpoint that hangs does not hold the store.
const CUT_OFF: Duration = Duration::from_secs(1);

impl Engine {
    /// Ends every wait for the shop's acceptance (`await_notify`), those that begin later included,
    /// and stops the background work. A server that lets its requests end at a signal calls this
    /// with the signal, and [`Engine::shutdown`] after the last request:
    ///
    /// ```
    /// # use paygate::Engine;
    /// # async fn serve(listener: tokio::net::TcpListener, app: axum::Router, engine: Engine)
    /// # -> std::io::Result<()> {
    /// let waits = engine.clone();
    /// axum::serve(listener, app)
    ///     .with_graceful_shutdown(async move {
    ///         drop(tokio::signal::ctrl_c().await);
    ///         waits.stop_waiting();
    ///     })
    ///     .await?;
    /// engine.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Requests in flight still get their answers, 5001 where the body or the price is missing a
    /// second later. Orders get their events: one that is not sent any more, or that the shop's
    /// endpoint has not answered a second later, is sent after the next start.
    pub fn stop_waiting(&self) {
        self.0.stopping.send_replace(true);
    }

    /// Ends the waits as [`Engine::stop_waiting`] does, waits until everything that was sent is
    /// finished and recorded, handlers in flight included, then closes the store. A request after
    /// that is refused: 5001, for the next process to serve.
    ///
    /// It waits no longer than [`Builder::shutdown_grace`](super::Builder::shutdown_grace). What is
    /// left then, a handler that does not return for example, ends as in a crash, and the next
    /// process goes on with it.
    ///
    /// # Cancel safety
    ///
    /// A dropped future leaves the calls running; call it again.
    pub async fn shutdown(&self) {
        self.stop_waiting();
        let left = self.0.tasks.finish(self.0.settings.shutdown_grace).await;
        if left > 0 {
            tracing::warn!(operations = left, "the stop did not wait for operations in flight");
        }
        self.0.store.close().await;
        let last =
            std::mem::take(&mut *self.0.at_shutdown.lock().unwrap_or_else(PoisonError::into_inner));
        for work in last {
            work.await;
        }
    }

    /// Counts an operation until its guard is dropped: [`Engine::shutdown`] waits for it.
    ///
    /// # Errors
    ///
    /// [`Kind::NotSent`] when the engine is shut down.
    pub(crate) fn begin_operation(&self) -> Result<OperationGuard, Error> {
        self.0.begin_operation()
    }

    /// Does the part of an operation that depends on its client or on the shop, such as reading its
    /// body: until a moment after the shutdown began.
    ///
    /// # Errors
    ///
    /// The work's; [`Kind::NotSent`] when it took too long.
    pub(crate) async fn until_cut_off<T>(
        &self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        tokio::select! {
            biased;
            done = work => done,
            () = self.0.cut_off() => Err(Error::new(Kind::NotSent)),
        }
    }
}

impl EngineParts {
    pub(super) fn begin_operation(&self) -> Result<OperationGuard, Error> {
        self.tasks.in_flight().begin().ok_or_else(|| Error::new(Kind::NotSent))
    }

    /// Returns a moment after the shutdown began.
    pub(super) async fn cut_off(&self) {
        let mut stopping = self.stopping.subscribe();
        // The sender lives as long as `self`.
        let _ = stopping.wait_for(|stopping| *stopping).await;
        sleep(CUT_OFF).await;
    }
}
