//! The payment engine: IO in the right order, one story a file.
//!
//! **Architecture invariant:** an order is durable before a byte of it goes to a provider, and the
//! outcome is durable before the caller is answered. What was sent is finished and recorded even
//! when its client leaves, and [`Engine::shutdown`] awaits it.

mod close;
mod commit;
mod create;
mod outbox;
mod query;
mod reconcile;
mod refund;
mod tasks;
mod unmatched;
mod builder;
mod call_budget;
mod circuit_breaker;
mod notification;
mod order_lock;
mod provider_calls;
mod waiters;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::sync::watch;
use url::Url;

pub use builder::{Builder, StartError};
pub use create::Created;
pub use create::switch::Switching;
pub use outbox::{Deliver, Handled, OrderEvent};
pub use query::{OrderNumber, Queried, Query};
pub use refund::{RefundRequest, Refunded, Refunds};

use crate::clock::Clock;
use crate::domain::channel::{PayType, ProviderId};
use crate::domain::ids::Pid;
pub use crate::domain::order::AutoRefundPolicy;
use crate::domain::time::Millis;
use crate::provider::{BoxFuture, Provider, Transport};
use crate::store::{Store, StoreError};

use circuit_breaker::CircuitBreakers;
use create::replay_cache::ReplayCache;
use notification::RejectedNotifications;
use order_lock::OrderLocks;
use outbox::Outbox;
use reconcile::Superseded;
use tasks::Tasks;
use waiters::Waiters;

/// The payment engine. Cheap to clone: every clone is the same engine.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    store: Arc<dyn Store>,
    merchants: BTreeMap<Pid, BTreeMap<ProviderId, Arc<dyn Provider>>>,
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
    settings: Settings,
    replays: ReplayCache,
    locks: Arc<OrderLocks>,
    breakers: CircuitBreakers,
    tasks: Tasks,
    waiters: Waiters,
    outbox: Outbox,
    superseded_orders: Superseded,
    rejected: RejectedNotifications,
    /// Whether the engine is being shut down.
    stopping: watch::Sender<bool>,
    at_shutdown: Mutex<Vec<BoxFuture<'static, ()>>>,
}

/// What an engine is told besides its store and providers.
#[derive(Clone, Debug)]
struct Settings {
    /// Where providers reach the mount, without a trailing slash: `https://shop.example.com/pay`.
    notify_base: String,
    /// Expiry of an attempt when the request names none, in milliseconds.
    order_ttl_ms: i64,
    /// One provider call.
    call_timeout: Duration,
    /// All provider calls of one request.
    call_budget: Duration,
    /// What becomes of an unpaid order that is to be paid in another way.
    switching: Switching,
    /// Which payments go back without anybody asking for it.
    auto_refund: AutoRefundPolicy,
    /// Whether the providers are simulated: then a buyer's private address will do.
    simulated: bool,
}

impl Engine {
    /// Starts an engine's description.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Whether the providers are simulated.
    #[must_use]
    pub fn is_simulated(&self) -> bool {
        self.0.settings.simulated
    }

    /// Now, by the clock that judges orders.
    pub(crate) fn now(&self) -> Millis {
        self.0.clock.now()
    }

    /// Whether the engine can take orders.
    ///
    /// # Errors
    ///
    /// The store's, when it cannot be written to.
    pub async fn ready(&self) -> Result<(), StoreError> {
        self.0.store.ready().await
    }

    /// Ends every wait for the shop's acceptance, and begins nothing in the background any more:
    /// for a host that lets its requests end before it calls [`Engine::shutdown`].
    pub fn stop_waiting(&self) {
        self.0.stopping.send_replace(true);
    }

    /// Waits until everything that was sent is finished and recorded, then closes the store.
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

impl Inner {
    fn provider(&self, pid: &Pid, id: ProviderId) -> Option<&Arc<dyn Provider>> {
        self.merchants.get(pid)?.get(&id)
    }

    /// Where `provider` reports payments of `pay_type` to `pid`.
    fn notify_url(&self, pay_type: PayType, pid: &Pid) -> String {
        let merchant = utf8_percent_encode(pid.as_str(), NON_ALPHANUMERIC);
        let base = &self.settings.notify_base;
        format!("{base}/notify/{}/{pay_type}/{merchant}", pay_type.provider())
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("store", &self.0.store)
            .field("merchants", &self.0.merchants.keys())
            .field("settings", &self.0.settings)
            .finish_non_exhaustive()
    }
}

/// The mount and the public URL in one text.
fn notify_base(public_url: &Url, mount: &str) -> String {
    format!("{}{mount}", public_url.as_str().trim_end_matches('/'))
}
