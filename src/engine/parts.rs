//! The engine and the parts that it is made of.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::commit::Commits;
use super::outbox::listeners::Outbox;
use super::progress::Locks;
use super::providers::Providers;
use super::rejected::RejectedNotifications;
use super::settings::Settings;
use super::tasks::Tasks;
use super::waiters::Waiters;
use crate::clock::Clock;
use crate::domain::notify_url::MountPath;
use crate::domain::time::Millis;
use crate::provider::BoxFuture;
use crate::store::{Store, StoreError};

/// The payment engine. Cheap to clone: every clone is the same engine.
#[derive(Clone)]
pub struct Engine(pub(super) Arc<EngineParts>);

/// The parts of an engine.
pub(super) struct EngineParts {
    /// For lookups and the outbox. Only [`Commits`] changes orders.
    pub(super) store: Arc<dyn Store>,
    pub(super) providers: Providers,
    pub(super) commits: Commits,
    pub(super) locks: Arc<Locks>,
    pub(super) waiters: Waiters,
    pub(super) outbox: Arc<Outbox>,
    pub(super) rejected: RejectedNotifications,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) settings: Arc<Settings>,
    pub(super) tasks: Tasks,
    /// Whether the engine is shutting down.
    pub(super) stopping: watch::Sender<bool>,
    pub(super) at_shutdown: Mutex<Vec<BoxFuture<'static, ()>>>,
}

impl Engine {
    /// The path prefix of the payment operations.
    #[must_use]
    pub fn mount(&self) -> &MountPath {
        &self.0.settings.mount
    }

    /// Whether the providers are simulated.
    #[must_use]
    pub fn is_simulated(&self) -> bool {
        self.0.settings.simulated
    }

    /// The time of the clock that the engine judges orders by.
    pub(crate) fn now(&self) -> Millis {
        self.0.clock.now()
    }

    /// Whether the engine can accept orders.
    ///
    /// # Errors
    ///
    /// The store's, when it cannot be written to.
    pub async fn ready(&self) -> Result<(), StoreError> {
        self.0.store.ready().await
    }

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
    /// Requests in flight still get their answers, and orders their events: an event that is not
    /// sent any more is sent after the next start.
    pub fn stop_waiting(&self) {
        self.0.stopping.send_replace(true);
    }

    /// Ends the waits as [`Engine::stop_waiting`] does, waits until everything that was sent is
    /// finished and recorded, handlers in flight included, then closes the store: a request after
    /// that is refused. A handler that never returns holds it up.
    ///
    /// # Cancel safety
    ///
    /// A dropped future leaves the calls running; call it again.
    pub async fn shutdown(&self) {
        self.stop_waiting();
        self.0.tasks.finish().await;
        self.0.store.close().await;
        let last =
            std::mem::take(&mut *self.0.at_shutdown.lock().unwrap_or_else(PoisonError::into_inner));
        for work in last {
            work.await;
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("store", &self.0.store)
            .field("merchants", &self.0.providers.merchants.keys())
            .field("settings", &self.0.settings)
            .finish_non_exhaustive()
    }
}
