//! The command `serve`: it puts the sidecar together, runs it, and hands over when it is stopped.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::admin::{Admin, AdminParts};
use super::alerts::Alerts;
use super::certificate_watch::watch_certificates;
use super::exit::{CommandResult, Exit, internal, misconfigured, not_started, unavailable};
use super::limit_counters::LimitCounters;
use super::proxy::{Proxy, Upstream};
use super::server::{Limits, PeerAddr, ProcessMark};
use super::{
    DeferredSettings, EngineSlot, InheritedSockets, ListenerName, ListenerSockets, Listeners,
    PaymentSlot, ShutdownWatch, Sidecar, descriptors, schema, shutdown_channel, shutdown_signal,
    telemetry,
};
use crate::assemble::AssembleError;
use crate::clock::{Clock as _, SystemClock};
use crate::config::{self, Config, Mode, PricingChoice, StoreChoice};
use crate::provider::BoxFuture;

/// Serves until a signal comes, then drains. The future is boxed here, so that its code is compiled
/// with the library and not a second time with the program.
///
/// # Errors
///
/// The exit code, and a text for the operator.
#[must_use]
pub fn serve(sockets: InheritedSockets) -> BoxFuture<'static, CommandResult> {
    Box::pin(run(sockets))
}

async fn run(sockets: InheritedSockets) -> CommandResult {
    let config = Config::from_env().map_err(misconfigured)?;
    let alerts = Alerts::start(&config).map_err(misconfigured)?;
    telemetry::init(&config.log, config.log_format, alerts.as_ref().map(Alerts::logs))
        .map_err(misconfigured)?;
    let ended = Box::pin(run_configured(config, sockets)).await;
    if let Some(alerts) = alerts {
        if let Err((exit, reason)) = &ended {
            alerts.add_exit(*exit, reason);
        }
        alerts.finish().await;
    }
    ended
}

async fn run_configured(mut config: Config, sockets: InheritedSockets) -> CommandResult {
    let urgent = config.urgent_warnings(SystemClock.now());
    for warning in config.warnings.iter().filter(|warning| !urgent.contains(warning)) {
        tracing::warn!(%warning, "a warning about the configuration");
    }
    let mut watching = JoinSet::new();
    watching.spawn(watch_certificates(config.clone()));
    let mut sockets = inherit(sockets, &mut config)?;
    let waits = !sockets.is_empty();
    let upstream = upstream(&config)?;
    let mock = sockets.take(ListenerName::Mock);
    let listeners = Listeners::open(config.listen, config.admin_listen, &mut sockets);
    let listeners = listeners.await.map_err(unavailable)?;
    // Where port 0 is configured, the simulated providers notify at the port that is bound.
    config.listen = listeners.public_addr().map_err(internal)?;
    let admin_addr = listeners.admin_addr().map_err(internal)?;
    let signal = shutdown_signal().map_err(internal)?;
    let slots = Slots::of(&config)?;
    let start = EngineStart { config: config.clone(), mock, slots: slots.clone() };
    let mut starting = JoinSet::new();
    match Box::pin(start.try_once()).await {
        Ok(()) => drop(start),
        Err(held) if waits && held.is_held() => _ = starting.spawn(start.when_free(held)),
        Err(error) => return Err(not_started(error)),
    }
    let (limits, mark) = (limits(&config), ProcessMark::random());
    let trusted = config.trusted_proxies.clone();
    let proxy = Proxy::new(upstream, trusted, limits.clone(), mark.clone());
    let (trigger, stopping) = shutdown_channel();
    let admin = admin(&config, &slots.engine, stopping.clone(), limits.counters.clone());
    let payments = slots.payments.in_front_of(proxy);
    let grace = config.shutdown_grace;
    let sidecar = Sidecar { listeners, payments, admin, limits, mark, grace };
    if let Some(addr) = admin_addr {
        tracing::info!(%addr, "serving health and admin");
    }
    let failed = OnceLock::new();
    let until = async {
        let mut signal = pin!(signal);
        tokio::select! {
            () = &mut signal => starting.shutdown().await,
            Some(started) = starting.join_next() => match started {
                Ok(Ok(())) => signal.await,
                Ok(Err(error)) => _ = failed.set(not_started(error)),
                Err(panicked) => _ = failed.set(internal(panicked)),
            },
        }
    };
    let hand_over = async {
        if let Ok(engine) = slots.engine.get() {
            engine.shutdown().await;
        }
    };
    Box::pin(sidecar.run(until, hand_over, trigger, stopping)).await;
    failed.into_inner().map_or(Ok(()), Err)
}

/// Checks what [`serve`] refuses, short of its addresses and of another process that has the store,
/// and describes the configuration and the accounts of the store.
///
/// # Errors
///
/// As [`serve`].
pub fn check(config: &Config) -> Result<String, (Exit, String)> {
    telemetry::check_filter(&config.log).map_err(misconfigured)?;
    upstream(config)?;
    let accounts = config.check_with_accounts().map_err(not_started)?;
    check_directory(config)?;
    Ok(config.describe() + &config.describe_stored(&accounts))
}

/// Checks that this process's user may make files in the store's directory.
#[cfg(unix)]
fn check_directory(config: &Config) -> CommandResult {
    use rustix::fs::{Access, access};
    let StoreChoice::Sqlite(path) = &config.store else { return Ok(()) };
    let directory = path.parent().filter(|path| !path.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    access(directory, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| {
        let directory = directory.display();
        unavailable(format!("this user cannot make files in the store's {directory} ({error})"))
    })
}

#[cfg(not(unix))]
fn check_directory(_: &Config) -> CommandResult {
    Ok(())
}

fn upstream(config: &Config) -> Result<Option<Upstream>, (Exit, String)> {
    config.upstream.as_ref().map(Upstream::from_url).transpose().map_err(misconfigured)
}

/// Finds the listeners of the inherited sockets. The configuration then has their addresses, and
/// its checks are made of these.
fn inherit(
    sockets: InheritedSockets,
    config: &mut Config,
) -> Result<ListenerSockets, (Exit, String)> {
    let mut listeners = vec![ListenerName::Public];
    listeners.extend(config.admin_listen.map(|_| ListenerName::Admin));
    listeners.extend((config.mode == Mode::Mock).then_some(ListenerName::Mock));
    let sockets = sockets.assign(&listeners).map_err(misconfigured)?;
    let variables = with_addresses(&sockets);
    if !sockets.is_empty() {
        *config = Config::read(&variables).map_err(misconfigured)?;
    }
    Ok(sockets)
}

/// The variables, with the addresses of the inherited sockets.
#[must_use]
pub fn with_addresses(sockets: &ListenerSockets) -> BTreeMap<String, String> {
    let mut variables = config::environment();
    for (listener, addr) in sockets.addresses() {
        tracing::info!(%listener, %addr, "inherited a listening socket");
        variables.insert(listener.variable().to_owned(), addr.to_string());
    }
    variables
}

/// What the listeners serve once the engine has started.
#[derive(Clone)]
struct Slots {
    engine: EngineSlot,
    payments: PaymentSlot,
}

impl Slots {
    fn of(config: &Config) -> Result<Slots, (Exit, String)> {
        let simulated = config.mode == Mode::Mock;
        let payments = PaymentSlot::new(DeferredSettings {
            mount: config.mount.clone(),
            cors_origins: config.cors_origins.clone(),
            credentials: matches!(config.pricing, PricingChoice::Callback(_)),
            simulated,
        });
        let payments = payments.map_err(misconfigured)?;
        Ok(Slots { engine: EngineSlot::empty(simulated), payments })
    }
}

/// The start of the engine.
struct EngineStart {
    config: Config,
    /// The inherited socket of the simulated providers.
    mock: Option<TcpListener>,
    slots: Slots,
}

impl EngineStart {
    async fn try_once(&self) -> Result<(), AssembleError> {
        let listen = self.config.mock_listen;
        let mock = self.mock.as_ref().map(TcpListener::try_clone).transpose();
        let mock = mock.map_err(|source| AssembleError::Mock { listen, source })?;
        let stranded = self.stranded_accounts();
        let (engine, payments) = self.config.start_on_socket(mock).await?;
        let payments =
            payments.peer_addr(|parts| parts.extensions.get::<PeerAddr>().map(|peer| peer.0));
        self.slots.payments.set(&payments);
        self.slots.engine.set(&engine);
        tracing::info!(addr = %self.config.listen, "serving payments");
        for account in stranded {
            tracing::error!(account, "the store has orders of an account that no merchant has");
        }
        Ok(())
    }

    /// The accounts whose orders paygate can do nothing about. It reads the store's file, so that
    /// it runs before SQLite has it open: closing a file gives up this process's locks on it.
    fn stranded_accounts(&self) -> Vec<String> {
        // What makes the store unreadable ends the start.
        let accounts = self.config.check_with_accounts();
        accounts.map_or_else(|_| Vec::new(), |known| self.config.stranded_accounts(&known))
    }

    /// Starts it when the process that holds the store has ended, or handed it over. That takes it
    /// the time of its own stop at most, and some seconds.
    async fn when_free(self, held: AssembleError) -> Result<(), AssembleError> {
        let seconds = self.config.shutdown_grace.saturating_add(HELD_EXTRA).as_secs();
        tracing::info!(%held, seconds, "waiting for the store: payments get 5001 until then");
        let until = Instant::now() + Duration::from_secs(seconds);
        loop {
            sleep(HELD_PAUSE).await;
            match Box::pin(self.try_once()).await {
                Err(held) if held.is_held() && Instant::now() < until => {}
                ended => return ended,
            }
        }
    }
}

/// How long paygate waits for a held store beyond `PAYGATE_SHUTDOWN_GRACE`.
const HELD_EXTRA: Duration = Duration::from_secs(5);
/// The pause between two looks at a held store.
const HELD_PAUSE: Duration = Duration::from_millis(50);

/// The limits of the configuration, and of the file descriptors that the process may have.
fn limits(config: &Config) -> Limits {
    let edge = &config.edge;
    let connections = descriptors::connections(descriptors::raise_limit(), edge.connections_max);
    if connections < edge.connections_max {
        tracing::info!(connections, "the limit of file descriptors allows fewer connections");
    }
    Limits {
        head: edge.head_timeout,
        idle: edge.idle_timeout,
        stall: edge.stall_timeout,
        body_rate: u64::try_from(edge.body_rate).unwrap_or(u64::MAX),
        upstream: edge.upstream_timeout,
        tunnel: edge.tunnel_timeout,
        keepalive: edge.keepalive,
        ..Limits::default().with_connections(connections)
    }
}

fn admin(
    config: &Config,
    engine: &EngineSlot,
    stopping: ShutdownWatch,
    counters: LimitCounters,
) -> Admin {
    let (engine, probed) = (engine.clone(), engine.clone());
    let schemas = schema::NAMES.iter().filter_map(|name| Some((*name, schema::text(name)?)));
    Admin::new(AdminParts {
        ready: Arc::new(move || {
            let probed = probed.clone();
            Box::pin(async move {
                match probed.get() {
                    Ok(engine) => engine.ready().await.is_ok(),
                    Err(_) => false,
                }
            })
        }),
        stopping,
        schemas: schemas.collect(),
        engine,
        token: config.admin_token.clone(),
        mount: config.mount.clone(),
        body_bytes_max: config.body_bytes_max,
        counters,
    })
}
