//! The [`Builder`] of an [`Engine`]: it takes the engine's parts and settings, and starts it.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use url::Url;

use super::circuit_breaker::CircuitBreakers;
use super::commit::Commits;
use super::order_lock::OrderLocks;
use super::outbox::listeners::{Deliver, Handled, Outbox};
use super::outbox::order_event::OrderEvent;
use super::parts::{Engine, EngineParts};
use super::providers::{MerchantProviders, Providers};
use super::replay_cache::ReplayCache;
use super::settings::Switching;
use super::start_error::StartError;
use super::superseded::SupersededOrders;
use super::tasks::Tasks;
use super::waiters::Waiters;
use crate::clock::throttled_count::ThrottledCount;
use crate::clock::{Clock, SystemClock};
use crate::domain::event::EventType;
use crate::domain::ids::Pid;
use crate::domain::order::AutoRefundPolicy;
use crate::provider::transport::Http;
use crate::provider::{BoxFuture, Provider, Transport};
use crate::store::Store;

/// Takes the parts and the settings of an [`Engine`], and starts it.
#[must_use]
pub struct Builder {
    pub(super) store: Option<Arc<dyn Store>>,
    pub(super) merchants: BTreeMap<Pid, MerchantProviders>,
    pub(super) transport: Option<Arc<dyn Transport>>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) public_url: Option<Url>,
    pub(super) mount: String,
    pub(super) order_ttl: Duration,
    pub(super) call_timeout: Duration,
    pub(super) call_budget: Duration,
    pub(super) replay_ttl: Duration,
    pub(super) replay_max: usize,
    pub(super) shutdown_grace: Duration,
    pub(super) switching: Switching,
    pub(super) auto_refund: AutoRefundPolicy,
    pub(super) reconcile_every: Option<Duration>,
    pub(super) outbox: Outbox,
    pub(super) simulated: bool,
    pub(super) at_shutdown: Vec<BoxFuture<'static, ()>>,
}

impl Engine {
    /// A builder with the default settings; it needs a store, a provider and a public URL.
    pub fn builder() -> Builder {
        Builder::default()
    }
}

impl Default for Builder {
    fn default() -> Builder {
        Builder {
            store: None,
            merchants: BTreeMap::new(),
            transport: None,
            clock: Arc::new(SystemClock),
            public_url: None,
            mount: "/pay".to_owned(),
            order_ttl: Duration::from_secs(30 * 60),
            call_timeout: Duration::from_secs(8),
            call_budget: Duration::from_secs(20),
            replay_ttl: Duration::from_secs(5 * 60),
            replay_max: 100_000,
            shutdown_grace: Duration::from_secs(25),
            switching: Switching::default(),
            auto_refund: AutoRefundPolicy { duplicate: true, late: true },
            reconcile_every: Some(Duration::from_secs(1)),
            outbox: Outbox::default(),
            simulated: false,
            at_shutdown: Vec::new(),
        }
    }
}

impl Builder {
    /// The store of the orders. Required.
    pub fn store(self, store: impl Store + 'static) -> Builder {
        self.shared_store(Arc::new(store))
    }

    /// As [`Builder::store`], with a store that the caller goes on using.
    pub fn shared_store(self, store: Arc<dyn Store>) -> Builder {
        Builder { store: Some(store), ..self }
    }

    /// A provider of the default merchant.
    pub fn provider(self, provider: impl Provider + 'static) -> Builder {
        self.provider_of(Pid::default(), provider)
    }

    /// A provider of the merchant that `data.pid` calls `pid`.
    pub fn provider_of(mut self, pid: Pid, provider: impl Provider + 'static) -> Builder {
        self.merchants.entry(pid).or_default().insert(provider.id(), Arc::new(provider));
        self
    }

    /// The URL at which providers reach this app: scheme, host and the path before the mount, such
    /// as the one under which axum nests the layer's router. Required; https, or http on this
    /// machine.
    pub fn public_url(self, url: Url) -> Builder {
        Builder { public_url: Some(url), ..self }
    }

    /// The path prefix of the payment operations; `/pay` by default. The
    /// [`PaymentLayer`](crate::PaymentLayer) answers there, and providers notify there.
    pub fn mount(self, mount: &str) -> Builder {
        Builder { mount: mount.to_owned(), ..self }
    }

    /// How long the buyer can pay an attempt when the request has no `data.time_expire`: 5 minutes
    /// to 7 days, 30 minutes by default.
    pub fn order_ttl(self, ttl: Duration) -> Builder {
        Builder { order_ttl: ttl, ..self }
    }

    /// The longest that one provider call may take, and all provider calls of one request; 8 s and
    /// 20 s by default.
    pub fn call_limits(self, timeout: Duration, budget: Duration) -> Builder {
        Builder { call_timeout: timeout, call_budget: budget, ..self }
    }

    /// How long the engine keeps a recent result in memory, and how many results at most; 5 minutes
    /// and 100 000 by default.
    pub fn replay(self, ttl: Duration, max: usize) -> Builder {
        Builder { replay_ttl: ttl, replay_max: max, ..self }
    }

    /// How long [`Engine::shutdown`] waits for what is in flight; 25 s by default.
    pub fn shutdown_grace(self, grace: Duration) -> Builder {
        Builder { shutdown_grace: grace, ..self }
    }

    /// What the engine does when the buyer of an unpaid order chooses another payment method:
    /// [`Switching::Close`] by default.
    pub fn switching(self, switching: Switching) -> Builder {
        Builder { switching, ..self }
    }

    /// Which payments the engine refunds without a request: a second payment of a paid order, and a
    /// payment that came after the order was closed; both by default.
    pub fn auto_refund(self, auto_refund: AutoRefundPolicy) -> Builder {
        Builder { auto_refund, ..self }
    }

    /// How often the engine reconciles the orders that are due; every second by default. With
    /// `None` it does nothing in the background, delivers no events either, and
    /// [`Engine::reconcile`] and [`Engine::dispatch`] do the work once.
    pub fn reconcile_every(self, every: Option<Duration>) -> Builder {
        Builder { reconcile_every: every, ..self }
    }

    /// The webhook that delivers the events of orders to the shop.
    pub fn webhook(mut self, webhook: impl Deliver + 'static) -> Builder {
        self.outbox.set_webhook(Arc::new(webhook));
        self
    }

    /// Calls `handler` with every event of this type about orders of type `kind`: see
    /// [`Engine::on`]. A handler that is registered here also gets the events that an earlier
    /// process left.
    pub fn on<H, F>(self, event: EventType, kind: &str, handler: H) -> Builder
    where
        H: Fn(OrderEvent) -> F + Send + Sync + 'static,
        F: Future<Output: Handled> + Send + 'static,
    {
        self.outbox.on(event, Some(kind), handler);
        self
    }

    /// Calls `handler` as [`Builder::on`] does, about orders of every type that has no handler of
    /// its own.
    pub fn on_any<H, F>(self, event: EventType, handler: H) -> Builder
    where
        H: Fn(OrderEvent) -> F + Send + Sync + 'static,
        F: Future<Output: Handled> + Send + 'static,
    {
        self.outbox.on(event, None, handler);
        self
    }

    /// The clock, in place of the operating system's.
    pub fn clock(self, clock: impl Clock + 'static) -> Builder {
        Builder { clock: Arc::new(clock), ..self }
    }

    /// The transport of provider calls, in place of HTTPS.
    pub fn transport(self, transport: impl Transport + 'static) -> Builder {
        Builder { transport: Some(Arc::new(transport)), ..self }
    }

    /// Marks the providers as simulated: replies and events state it, and the engine accepts a
    /// buyer's private address. Such an engine takes the simulated providers' keys and no others.
    pub fn simulated(self) -> Builder {
        Builder { simulated: true, ..self }
    }

    /// Work that [`Engine::shutdown`] does last, for example ending a task that only this engine
    /// needs.
    pub fn at_shutdown(mut self, work: impl Future<Output = ()> + Send + 'static) -> Builder {
        self.at_shutdown.push(Box::pin(work));
        self
    }

    /// Starts the engine.
    ///
    /// # Errors
    ///
    /// [`StartError`] names the part that is missing or the settings that contradict each other.
    pub async fn start(self) -> Result<Engine, StartError> {
        let settings = Arc::new(self.checked_settings()?);
        let store = self.store.ok_or(StartError::Missing("a store"))?;
        let transport = self.transport.unwrap_or_else(|| Arc::new(Http::new()));
        store.ready().await.map_err(StartError::Store)?;
        let (waiters, outbox) = (Waiters::default(), Arc::new(self.outbox));
        let commits = Commits {
            store: store.clone(),
            replays: ReplayCache::new(self.replay_ttl, self.replay_max),
            waiters: waiters.clone(),
            superseded: SupersededOrders::default(),
            outbox: outbox.clone(),
            clock: self.clock.clone(),
            livemode: !self.simulated,
        };
        let providers = Providers {
            merchants: self.merchants,
            breakers: CircuitBreakers::default(),
            transport,
            clock: self.clock.clone(),
            settings: settings.clone(),
        };
        let engine = Arc::new(EngineParts {
            store,
            providers,
            commits,
            locks: Arc::new(OrderLocks::default()),
            waiters,
            outbox,
            forged: Default::default(),
            unaddressed: ThrottledCount::default(),
            unlisted: ThrottledCount::default(),
            clock: self.clock,
            settings,
            tasks: Tasks::default(),
            stopping: watch::Sender::new(false),
            at_shutdown: Mutex::new(self.at_shutdown),
        });
        if let Some(every) = self.reconcile_every {
            engine.reconcile_every(every);
            engine.deliver_events();
        }
        Ok(Engine(engine))
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("store", &self.store)
            .field("merchants", &self.merchants.keys())
            .field("mount", &self.mount)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "mock"))]
mod tests {
    use super::*;
    use crate::domain::channel::ProviderId;
    use crate::domain::time::Millis;
    use crate::mock::{InProcess, keys};
    use crate::provider::alipay::AlipayGateway;
    use crate::store::Memory;

    #[derive(Debug)]
    struct Stopped;

    impl Clock for Stopped {
        fn now(&self) -> Millis {
            Millis(7)
        }
    }

    fn alipay() -> AlipayGateway {
        let gateway = "http://127.0.0.1:1/gateway.do".parse().expect("a URL");
        AlipayGateway::new(keys::alipay_merchant(gateway)).expect("the mock's keys")
    }

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    /// All that an engine needs.
    fn complete() -> Builder {
        let providers = InProcess::open(None, Arc::new(SystemClock)).expect("no file");
        Engine::builder()
            .provider(alipay())
            .store(Memory::new())
            .transport(providers)
            .public_url("https://shop.example.com/app/".parse().expect("a URL"))
            .reconcile_every(None)
            .simulated()
    }

    #[tokio::test]
    async fn a_setting_keeps_all_that_was_set_before() {
        let auto_refund = AutoRefundPolicy { duplicate: true, late: false };
        let engine = complete()
            .clock(Stopped)
            .switching(Switching::Reject)
            .auto_refund(auto_refund)
            .replay(seconds(3), 4)
            .call_limits(seconds(1), seconds(2))
            .order_ttl(seconds(600))
            .mount("/money")
            .provider_of(Pid::new("001"), alipay())
            .on(EventType::PaymentSucceeded, "goods", |_: OrderEvent| async {})
            .start()
            .await
            .expect("all of it is there");
        let parts = &engine.0;
        let settings = &parts.settings;
        assert_eq!(settings.notify_base, "https://shop.example.com/app/money");
        assert_eq!(settings.order_ttl_ms, 600_000);
        assert_eq!((settings.call_timeout, settings.call_budget), (seconds(1), seconds(2)));
        assert_eq!(settings.switching, Switching::Reject);
        assert_eq!(settings.auto_refund, auto_refund);
        assert!(settings.simulated && engine.is_simulated() && !parts.commits.livemode);
        assert_eq!(parts.clock.now(), Millis(7));
        for pid in [Pid::default(), Pid::new("001")] {
            assert!(parts.providers.provider(&pid, ProviderId::Alipay).is_some(), "{pid}");
        }
    }

    #[tokio::test]
    async fn the_default_settings_are_the_manuals() {
        let engine = complete().start().await.expect("all of it is there");
        let settings = &engine.0.settings;
        assert_eq!(settings.notify_base, "https://shop.example.com/app/pay");
        assert_eq!(settings.order_ttl_ms, 30 * 60_000);
        assert_eq!((settings.call_timeout, settings.call_budget), (seconds(8), seconds(20)));
        assert_eq!(settings.switching, Switching::Close);
        assert_eq!(settings.auto_refund, AutoRefundPolicy { duplicate: true, late: true });
        let builder = Engine::builder();
        assert!(!builder.simulated);
        assert_eq!(builder.reconcile_every, Some(seconds(1)));
        assert_eq!((builder.replay_ttl, builder.replay_max), (seconds(300), 100_000));
        let changed = builder.replay(seconds(3), 4);
        assert_eq!((changed.replay_ttl, changed.replay_max), (seconds(3), 4));
    }

    #[tokio::test]
    async fn one_call_may_take_the_whole_budget() {
        assert!(complete().call_limits(seconds(2), seconds(2)).start().await.is_ok());
    }
}
