//! From a configuration to a running engine and its layer. No other file names every concrete type.

#[cfg(feature = "mock")]
mod shop_events;

use std::fmt;
use std::net::TcpListener;
use std::path::Path;
#[cfg(feature = "mock")]
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE};
use http::{HeaderMap, HeaderValue};
use url::Url;

#[cfg(feature = "sqlite")]
use crate::clock::Clock;
#[cfg(any(feature = "mock", feature = "sqlite"))]
use crate::clock::SystemClock;
#[cfg(feature = "mock")]
use crate::config::MockResetConfig;
use crate::config::{
    Config, MerchantConfig, PricingChoice, StoreChoice, StoreCommandConfig, SwitchChoice,
};
use crate::engine::{self, Builder as EngineBuilder, Engine, Switching};
use crate::error::debug_like_display;
use crate::layer::PaymentLayer;
use crate::merchant::client::MerchantHttp;
use crate::merchant::webhook::Webhook;
#[cfg(feature = "mock")]
use crate::mock::HeldLedger;
use crate::pricing::{self, Pricing};
#[cfg(any(feature = "wxpay", feature = "alipay"))]
use crate::provider::Provider;
#[cfg(feature = "mock")]
use crate::store::StoreErrorKind;
use crate::store::memory::Memory;
use crate::store::{Backup, KnownAccounts, Restored, StoreError, StoreMode};

impl Config {
    /// Opens the store, starts the engine (and, in mock mode, the simulated providers), and makes
    /// the layer. In another app than the sidecar, also call
    /// [`peer_addr`](PaymentLayer::peer_addr) on the layer.
    ///
    /// # Errors
    ///
    /// [`AssembleError`]: the store, a setting, or the simulated providers cannot be used.
    pub async fn start(&self) -> Result<(Engine, PaymentLayer), AssembleError> {
        self.start_with(|builder| builder).await
    }

    /// As [`Config::start`], with an engine that `add` adds to: handlers most often. They also get
    /// the events that an earlier process left. The builder has the store and the settings of this
    /// configuration; its merchants and its webhook come afterwards.
    ///
    /// ```no_run
    /// use paygate::{Config, EventType, OrderEvent};
    ///
    /// # async fn start() -> Result<(), Box<dyn std::error::Error>> {
    /// let config = Config::from_env()?;
    /// let ship = |paid: OrderEvent| async move { println!("ship {}", paid.out_trade_no()) };
    /// let (engine, payments) =
    ///     config.start_with(|builder| builder.on_any(EventType::PaymentSucceeded, ship)).await?;
    /// # let _ = (engine, payments);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Config::start`].
    pub async fn start_with(
        &self,
        add: impl FnOnce(EngineBuilder) -> EngineBuilder,
    ) -> Result<(Engine, PaymentLayer), AssembleError> {
        self.start_on(None, add).await
    }

    /// As [`Config::start`], with the simulated providers on a socket that listens already.
    ///
    /// # Errors
    ///
    /// As [`Config::start`].
    #[cfg(feature = "sidecar")]
    pub async fn start_on_socket(
        &self,
        mock: Option<TcpListener>,
    ) -> Result<(Engine, PaymentLayer), AssembleError> {
        self.start_on(mock, |builder| builder).await
    }

    /// Checks what [`Config::start`] refuses: the keys of every merchant, the settings together,
    /// and the store, if it is there. It makes nothing, calls nobody, and another process may have
    /// the store.
    ///
    /// Not while this process has the store open: the operating system would give up its locks on
    /// the database, and another program could take itself for the only one that has it.
    ///
    /// # Errors
    ///
    /// As [`Config::start`].
    pub fn check(&self) -> Result<(), AssembleError> {
        self.check_with_accounts().map(drop)
    }

    /// As [`Config::check`], with the accounts that the store knows.
    pub(crate) fn check_with_accounts(&self) -> Result<KnownAccounts, AssembleError> {
        self.check_settings()?;
        check_store(self)
    }

    /// As [`Config::check`], without the store.
    fn check_settings(&self) -> Result<(), AssembleError> {
        self.pricing()?;
        match self.mode {
            StoreMode::Live => {
                self.with_accounts(self.builder())?.check().map_err(AssembleError::Engine)?;
            }
            StoreMode::Mock => drop(self.webhook()?),
        }
        Ok(())
    }

    async fn start_on(
        &self,
        mock: Option<TcpListener>,
        add: impl FnOnce(EngineBuilder) -> EngineBuilder,
    ) -> Result<(Engine, PaymentLayer), AssembleError> {
        // Before a store is made.
        self.check_settings()?;
        let pricing = self.pricing()?;
        let builder = add(with_store(self, self.builder())?);
        let engine = match self.mode {
            StoreMode::Live => {
                self.with_accounts(builder)?.start().await.map_err(AssembleError::Engine)?
            }
            StoreMode::Mock => start_mock(self, mock, builder).await?,
        };
        let payments = PaymentLayer::new(engine.clone(), pricing)
            .body_bytes_max(self.body_bytes_max)
            .trusted_proxies(self.trusted_proxies.clone())
            .cors_origins(self.cors_origins.iter().cloned());
        Ok((engine, payments))
    }

    fn pricing(&self) -> Result<Pricing, AssembleError> {
        match &self.pricing {
            PricingChoice::CallerToken(token) => {
                Pricing::caller_token(token.expose()).map_err(|error| refused(&error))
            }
            PricingChoice::Quote(secret) => {
                Pricing::quote(secret.expose()).map_err(|error| refused(&error))
            }
            PricingChoice::Callback(url) => pricing_callback(url.clone(), self.call_timeout),
            PricingChoice::Loopback => Ok(Pricing::loopback()),
        }
    }

    fn builder(&self) -> EngineBuilder {
        // In mock mode only: the simulated providers are on this machine and reach any listener.
        let loopback = || format!("http://127.0.0.1:{}", self.listen.port()).parse().ok();
        let builder = Engine::builder()
            .mount(&self.mount)
            .order_ttl(self.order_ttl)
            .call_limits(self.call_timeout, self.call_budget)
            .replay(self.replay_ttl, self.replay_max)
            .shutdown_grace(self.shutdown_grace)
            .auto_refund(self.auto_refund)
            .switching(match self.switch {
                SwitchChoice::Close => Switching::Close,
                SwitchChoice::Reject => Switching::Reject,
            });
        match self.public_url.clone().or_else(loopback) {
            Some(url) => builder.public_url(url),
            None => builder,
        }
    }

    /// The builder with the webhook and the merchants of live mode.
    fn with_accounts(&self, mut builder: EngineBuilder) -> Result<EngineBuilder, AssembleError> {
        if let Some(webhook) = self.webhook()? {
            builder = builder.webhook(webhook);
        }
        for merchant in &self.merchants {
            builder = with_merchant(merchant, builder)?;
        }
        Ok(builder)
    }

    fn webhook(&self) -> Result<Option<Webhook>, AssembleError> {
        let Some(webhook) = &self.webhook else { return Ok(None) };
        let webhook = Webhook::with_signing_keys(&webhook.url, &webhook.keys);
        let refused = |error| AssembleError::Refused(format!("PAYGATE_WEBHOOK_URL: {error}"));
        webhook.map(Some).map_err(refused)
    }
}

/// Pricing that asks the shop's service at `url` on every request.
fn pricing_callback(url: Url, timeout: Duration) -> Result<Pricing, AssembleError> {
    let client = MerchantHttp::new(&url, timeout)
        .map_err(|error| AssembleError::Refused(format!("PAYGATE_PRICING_URL: {error}")))?;
    let service = Arc::new((client, url));
    Ok(Pricing::callback(move |query| {
        let service = service.clone();
        async move {
            let body = pricing::price_request_body(&query)?;
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            let credentials = [(AUTHORIZATION, query.authorization), (COOKIE, query.cookie)];
            headers
                .extend(credentials.into_iter().filter_map(|(name, value)| Some((name, value?))));
            let (client, url) = &*service;
            let answer = client.post(url, headers, body.into()).await?;
            pricing::parse_price_response(query.operation, answer.status, &answer.body)
        }
    }))
}

fn with_store(config: &Config, builder: EngineBuilder) -> Result<EngineBuilder, AssembleError> {
    match &config.store {
        StoreChoice::Memory => Ok(builder.store(Memory::new())),
        #[cfg(feature = "sqlite")]
        StoreChoice::Sqlite(path) => {
            let store = crate::store::sqlite::Sqlite::open_as(path, config.mode);
            Ok(builder.store(store.map_err(AssembleError::Store)?))
        }
        #[cfg(not(feature = "sqlite"))]
        StoreChoice::Sqlite(_) => Err(feature_missing("sqlite")),
    }
}

fn check_store(config: &Config) -> Result<KnownAccounts, AssembleError> {
    match &config.store {
        StoreChoice::Memory => Ok(KnownAccounts::Listed(Vec::new())),
        #[cfg(feature = "sqlite")]
        StoreChoice::Sqlite(path) => {
            crate::store::sqlite::check(path, config.mode).map_err(AssembleError::Store)
        }
        #[cfg(not(feature = "sqlite"))]
        StoreChoice::Sqlite(_) => Err(feature_missing("sqlite")),
    }
}

/// One entry for each provider.
#[cfg_attr(not(any(feature = "wxpay", feature = "alipay")), expect(unused_variables))]
fn with_merchant(
    merchant: &MerchantConfig,
    builder: EngineBuilder,
) -> Result<EngineBuilder, AssembleError> {
    #[cfg(any(feature = "wxpay", feature = "alipay"))]
    let refused = |error| AssembleError::Refused(format!("the merchant {}: {error}", merchant.pid));
    #[cfg(feature = "wxpay")]
    let provider = merchant.wxpay.clone().map(crate::provider::wxpay::V3::new).transpose();
    #[cfg(feature = "wxpay")]
    let builder = with_provider(provider.map_err(refused)?, merchant, builder);
    #[cfg(feature = "alipay")]
    let provider = merchant.alipay.clone().map(crate::provider::alipay::AlipayGateway::new);
    #[cfg(feature = "alipay")]
    let builder = with_provider(provider.transpose().map_err(refused)?, merchant, builder);
    Ok(builder)
}

#[cfg(any(feature = "wxpay", feature = "alipay"))]
fn with_provider(
    provider: Option<impl Provider + 'static>,
    merchant: &MerchantConfig,
    builder: EngineBuilder,
) -> EngineBuilder {
    match provider {
        Some(provider) => builder.provider_of(merchant.pid.clone(), provider),
        None => builder,
    }
}

/// Starts the simulated providers, and the engine that uses them. All configured merchants use
/// their one set of keys.
#[cfg(feature = "mock")]
async fn start_mock(
    config: &Config,
    socket: Option<TcpListener>,
    mut builder: EngineBuilder,
) -> Result<Engine, AssembleError> {
    use self::shop_events::{DeliveryLog, EngineEvents, RecordedWebhook};
    use crate::mock::{DEFAULT_TIME_SCALE, Mock, MockConfig, keys};

    let webhook = config.webhook()?;
    let listen = config.mock_listen;
    let mock_config = MockConfig {
        listen,
        ledger_path: ledger_path(&config.store),
        clock: Arc::new(SystemClock),
        time_scale: DEFAULT_TIME_SCALE,
    };
    let mock = match socket {
        Some(socket) => Mock::start_on(socket, mock_config).await,
        None => Mock::start(mock_config).await,
    };
    let mock = mock.map_err(|source| AssembleError::Mock { listen, source })?;
    tracing::info!(addr = %mock.addr(), "simulating WeChat Pay and Alipay");
    let deliveries = Arc::new(DeliveryLog::default());
    let has_webhook = webhook.is_some();
    if let Some(webhook) = webhook {
        builder = builder.webhook(RecordedWebhook { webhook, deliveries: deliveries.clone() });
    }
    for merchant in &config.merchants {
        let mut alipay = keys::alipay_merchant(mock.alipay_gateway_url());
        alipay.choice = merchant.choice;
        let merchant = MerchantConfig {
            wxpay: Some(keys::wxpay_merchant(mock.wxpay_base_url())),
            alipay: Some(alipay),
            ..merchant.clone()
        };
        builder = with_merchant(&merchant, builder)?;
    }
    let providers = mock.in_process();
    let engine = builder.simulated().at_shutdown(mock.shutdown()).start().await;
    let engine = engine.map_err(AssembleError::Engine)?;
    let reader = engine.event_reader();
    providers.set_shop_events(Arc::new(EngineEvents { reader, deliveries, has_webhook }));
    Ok(engine)
}

#[cfg(not(feature = "mock"))]
async fn start_mock(
    _: &Config,
    _: Option<TcpListener>,
    _: EngineBuilder,
) -> Result<Engine, AssembleError> {
    Err(feature_missing("mock"))
}

#[cfg(feature = "mock")]
impl MockResetConfig {
    /// Removes the store of mock mode and the simulated providers' ledger beside it, and returns
    /// the files that it removed.
    ///
    /// # Errors
    ///
    /// [`AssembleError::Store`]: a process holds one of them, or one is something else, a store of
    /// live mode for example. Then nothing is removed.
    pub fn reset(&self) -> Result<Vec<PathBuf>, AssembleError> {
        let Some(ledger_path) = ledger_path(&self.store) else { return Ok(Vec::new()) };
        #[cfg(feature = "sqlite")]
        let store = match &self.store {
            StoreChoice::Sqlite(path) if path.exists() || ledger_path.exists() => {
                let held = crate::store::sqlite::HeldMockStore::hold(path);
                Some(held.map_err(AssembleError::Store)?)
            }
            _ => None,
        };
        let refused = |error: std::io::Error| {
            let message = format!("{} cannot be removed: {error}", ledger_path.display());
            AssembleError::Store(StoreError::new(StoreErrorKind::Unavailable, message))
        };
        let ledger = HeldLedger::hold(&ledger_path).map_err(refused)?;
        let mut removed = Vec::new();
        if let Some(ledger) = ledger {
            removed.push(ledger.remove().map_err(refused)?);
        }
        #[cfg(feature = "sqlite")]
        if let Some(store) = store {
            removed.extend(store.remove().map_err(AssembleError::Store)?);
        }
        Ok(removed)
    }
}

impl StoreCommandConfig {
    /// Copies the store to the new file `file`. The store may be in use.
    ///
    /// # Errors
    ///
    /// [`AssembleError::Store`]: the store cannot be read, or the file cannot be made.
    pub fn back_up(&self, file: &Path) -> Result<Backup, AssembleError> {
        #[cfg(feature = "sqlite")]
        if let StoreChoice::Sqlite(store) = &self.store {
            return crate::store::sqlite::back_up(store, file).map_err(AssembleError::Store);
        }
        Err(no_file_to_copy(file))
    }

    /// Puts the copy `file` in the place of the store, which keeps its files under other names.
    /// The store notes when that was: every order in it counts as handed out.
    ///
    /// # Errors
    ///
    /// [`AssembleError::Store`]: a process holds the store, or the copy cannot be used. Then the
    /// store is as it was.
    pub fn restore(&self, file: &Path) -> Result<Restored, AssembleError> {
        #[cfg(feature = "sqlite")]
        if let StoreChoice::Sqlite(store) = &self.store {
            let now = SystemClock.now();
            let restored = crate::store::sqlite::restore(store, self.mode, file, now);
            return restored.map_err(AssembleError::Store);
        }
        Err(no_file_to_copy(file))
    }
}

fn no_file_to_copy(file: &Path) -> AssembleError {
    let file = file.display();
    AssembleError::Refused(format!("{file}: PAYGATE_STORE is no file that this build can copy"))
}

/// The ledger of the simulated providers stands beside the store.
#[cfg(feature = "mock")]
fn ledger_path(store: &StoreChoice) -> Option<PathBuf> {
    match store {
        StoreChoice::Memory => None,
        StoreChoice::Sqlite(path) => {
            let mut name = path.clone().into_os_string();
            name.push("-ledger.json");
            Some(name.into())
        }
    }
}

fn refused(problem: &dyn fmt::Display) -> AssembleError {
    AssembleError::Refused(problem.to_string())
}

#[cfg(not(all(feature = "mock", feature = "sqlite")))]
fn feature_missing(feature: &str) -> AssembleError {
    AssembleError::Refused(format!("this build is without the feature `{feature}`"))
}

/// Why [`Config::start`] did not start an engine.
#[non_exhaustive]
pub enum AssembleError {
    /// A setting is valid in form and cannot be used.
    Refused(String),
    /// The store cannot be used.
    Store(StoreError),
    /// The simulated providers cannot run.
    Mock {
        /// Their address, `PAYGATE_MOCK_LISTEN`.
        listen: std::net::SocketAddr,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// The engine did not start.
    Engine(engine::StartError),
}

impl fmt::Display for AssembleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AssembleError::Refused(reason) => f.write_str(reason),
            AssembleError::Store(error) => error.fmt(f),
            AssembleError::Mock { listen, source } => {
                write!(f, "PAYGATE_MOCK_LISTEN: the simulated providers at {listen}: {source}")
            }
            AssembleError::Engine(error) => error.fmt(f),
        }
    }
}

debug_like_display!(AssembleError);

impl std::error::Error for AssembleError {}

impl AssembleError {
    /// Whether another process holds the store or the simulated providers' ledger.
    #[must_use]
    pub fn is_held(&self) -> bool {
        match self {
            AssembleError::Store(error) => error.is_held(),
            AssembleError::Mock { source, .. } => source.kind() == std::io::ErrorKind::WouldBlock,
            AssembleError::Refused(_) | AssembleError::Engine(_) => false,
        }
    }
}
