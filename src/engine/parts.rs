//! The engine and the parts that it is made of.

use std::fmt;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use super::commit::Commits;
use super::outbox::listeners::Outbox;
use super::progress::Locks;
use super::providers::Providers;
use super::settings::Settings;
use super::tasks::Tasks;
use super::waiters::Waiters;
use crate::clock::Clock;
use crate::clock::throttled_count::ThrottledCount;
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
    /// Forged notifications of WeChat Pay, and of Alipay.
    pub(super) forged: [ThrottledCount; 2],
    /// Notifications for merchants that the configuration does not have.
    pub(super) unaddressed: ThrottledCount,
    /// Looks for due work that the store did not answer: several a second, once it is broken.
    pub(super) unlisted: ThrottledCount,
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
