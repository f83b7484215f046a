//! The program: it reads the configuration or exits with 64, runs one command, drains, and exits
//! with a code of sysexits.h.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{ErrorKind, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use clap::{Arg, ArgAction, value_parser};
use paygate::config::{Config, Mode, PricingChoice};
use paygate::mock::{DEFAULT_TIME_SCALE, Mock, MockConfig, client_environment};
use paygate::sidecar::admin::{Admin, AdminParts};
use paygate::sidecar::proxy::{Proxy, Upstream};
use paygate::sidecar::server::{Limits, ProcessMark};
use paygate::sidecar::{
    DeferredSettings, EngineSlot, InheritedSockets, ListenerName, ListenerSockets, Listeners,
    PaymentSlot, PeerAddr, ShutdownWatch, Sidecar, chapters, descriptors, health, help_text,
    schema, shutdown_channel, shutdown_signal, telemetry,
};
use paygate::store::{Backup, Restored};
use paygate::{AssembleError, SystemClock, config};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

enum Command {
    Serve,
    Check,
    Mock,
    ResetMock,
    PrintMockEnvironment,
    Backup { file: PathBuf },
    Restore { file: PathBuf },
    Schema { name: Option<String> },
    Health,
    Help { chapter: Option<String> },
}

impl Command {
    /// Reads the arguments of the process.
    ///
    /// # Errors
    ///
    /// The text that `--help` and `--version` ask for is an error too, as clap has it.
    fn from_arguments() -> Result<Command, clap::Error> {
        let matches = command_line().try_get_matches()?;
        let Some((name, matches)) = matches.subcommand() else { return Ok(Command::Serve) };
        let text = |argument| matches.get_one::<String>(argument).cloned();
        let file = || matches.get_one::<PathBuf>("file").cloned().unwrap_or_default();
        Ok(match name {
            "check" => Command::Check,
            "mock" if matches.get_flag("reset") => Command::ResetMock,
            "mock" if matches.get_flag("print-env") => Command::PrintMockEnvironment,
            "mock" => Command::Mock,
            "backup" => Command::Backup { file: file() },
            "restore" => Command::Restore { file: file() },
            "schema" => Command::Schema { name: text("name") },
            "health" => Command::Health,
            "help" => Command::Help { chapter: text("chapter") },
            _ => Command::Serve,
        })
    }
}

fn command_line() -> clap::Command {
    let flag = |name| Arg::new(name).long(name).action(ArgAction::SetTrue);
    let file = || Arg::new("file").required(true).value_parser(value_parser!(PathBuf));
    clap::Command::new("paygate")
        .version(env!("CARGO_PKG_VERSION"))
        .disable_help_subcommand(true)
        .override_help(help_text())
        .subcommand(clap::Command::new("serve"))
        .subcommand(clap::Command::new("check"))
        .subcommand(
            clap::Command::new("mock")
                .arg(flag("reset").conflicts_with("print-env"))
                .arg(flag("print-env")),
        )
        .subcommand(clap::Command::new("backup").arg(file()))
        .subcommand(clap::Command::new("restore").arg(file()))
        .subcommand(clap::Command::new("schema").arg(Arg::new("name")))
        .subcommand(clap::Command::new("health"))
        .subcommand(clap::Command::new("help").arg(Arg::new("chapter")))
}

fn main() -> ExitCode {
    let command = match Command::from_arguments() {
        Ok(command) => command,
        Err(help_or_error) => {
            let is_error = help_or_error.use_stderr();
            let _ = help_or_error.print();
            return ExitCode::from(if is_error { Exit::Configuration as u8 } else { 0 });
        }
    };
    // Before there are threads: it changes the environment.
    let sockets = match command {
        Command::Serve | Command::Mock => InheritedSockets::take(),
        _ => InheritedSockets::default(),
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return exit_code(Err((Exit::Internal, error.to_string()))),
    };
    let exit = runtime.block_on(async {
        match command {
            Command::Serve => exit_code(Box::pin(serve(sockets)).await),
            Command::Check => exit_code(check()),
            Command::Mock => exit_code(mock(sockets).await),
            Command::ResetMock => exit_code(reset_mock()),
            Command::PrintMockEnvironment => exit_code(print_mock_environment()),
            Command::Backup { file } => exit_code(back_up(&file)),
            Command::Restore { file } => exit_code(restore(&file)),
            Command::Schema { name } => exit_code(print_schema(name.as_deref())),
            Command::Health => check_health().await,
            Command::Help { chapter } => exit_code(print_chapter(chapter.as_deref())),
        }
    });
    telemetry::flush();
    exit
}

/// Serves until a signal comes, then drains.
async fn serve(sockets: InheritedSockets) -> CommandResult {
    let mut config = Config::from_env().map_err(misconfigured)?;
    telemetry::init(&config.log, config.log_format).map_err(misconfigured)?;
    config.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let mut sockets = inherit(sockets, &mut config)?;
    let waits = !sockets.is_empty();
    let upstream =
        config.upstream.as_ref().map(Upstream::from_url).transpose().map_err(misconfigured)?;
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
    let proxy = Proxy::new(upstream, config.trusted_proxies.clone(), limits, mark.clone());
    let (trigger, stopping) = shutdown_channel();
    let admin = admin(&config, &slots.engine, stopping.clone());
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
fn with_addresses(sockets: &ListenerSockets) -> BTreeMap<String, String> {
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
        let (engine, payments) = self.config.start_on_socket(mock).await?;
        let payments =
            payments.peer_addr(|parts| parts.extensions.get::<PeerAddr>().map(|peer| peer.0));
        self.slots.payments.set(&payments);
        self.slots.engine.set(&engine);
        tracing::info!(addr = %self.config.listen, "serving payments");
        Ok(())
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
        connections,
        upstreams: connections,
        ..Limits::default()
    }
}

fn admin(config: &Config, engine: &EngineSlot, stopping: ShutdownWatch) -> Admin {
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
    })
}

/// Validates the configuration and prints its effective values.
fn check() -> CommandResult {
    let config = Config::from_env().map_err(misconfigured)?;
    print(&config.describe())
}

/// Runs the simulated providers without an engine.
async fn mock(sockets: InheritedSockets) -> CommandResult {
    let config = config::mock_command_config(&config::environment()).map_err(misconfigured)?;
    telemetry::init(&config.log, config.log_format).map_err(misconfigured)?;
    let mut sockets = sockets.assign(&[ListenerName::Mock]).map_err(misconfigured)?;
    let config = config::mock_command_config(&with_addresses(&sockets)).map_err(misconfigured)?;
    let signal = shutdown_signal().map_err(internal)?;
    let clock = Arc::new(SystemClock);
    let (listen, time_scale) = (config.listen, DEFAULT_TIME_SCALE);
    let mock_config = MockConfig { listen, ledger_path: None, clock, time_scale };
    let mock = match sockets.take(ListenerName::Mock) {
        Some(socket) => Mock::start_on(socket, mock_config).await,
        None => Mock::start(mock_config).await,
    };
    let mock = mock.map_err(|error| unavailable(format!("PAYGATE_MOCK_LISTEN: {error}")))?;
    tracing::info!(addr = %mock.addr(), "simulating WeChat Pay and Alipay");
    signal.await;
    mock.shutdown().await;
    Ok(())
}

/// Removes the files of mock mode.
fn reset_mock() -> CommandResult {
    let config = config::mock_reset_config(&config::environment()).map_err(misconfigured)?;
    let removed = config.reset().map_err(not_started)?;
    if removed.is_empty() {
        return print("nothing to remove: no file of mock mode is there\n");
    }
    let lines = removed.iter().map(|path| format!("removed {}\n", path.display()));
    print(&lines.collect::<String>())
}

/// Copies the store.
fn back_up(file: &Path) -> CommandResult {
    let config = config::store_command_config(&config::environment()).map_err(misconfigured)?;
    let Backup { orders, .. } = config.back_up(file).map_err(not_started)?;
    print(&format!("{} holds a copy of the store; orders: {orders}\n", file.display()))
}

/// Puts a copy in the place of the store.
fn restore(file: &Path) -> CommandResult {
    let config = config::store_command_config(&config::environment()).map_err(misconfigured)?;
    let Restored { orders, replaced, .. } = config.restore(file).map_err(not_started)?;
    let mut text = format!("restored {}; orders: {orders}\n", file.display());
    if let Some(replaced) = replaced {
        text += &format!("the store that stood there is {} now\n", replaced.display());
    }
    print(&(text + "start paygate, then go on with `paygate help operations`, Restore a backup\n"))
}

/// Prints what another program configures to use `paygate mock`.
fn print_mock_environment() -> CommandResult {
    let addr = config::mock_client_address(&config::environment()).map_err(misconfigured)?;
    print(&client_environment(addr))
}

/// Prints one JSON Schema, or the names of all.
fn print_schema(name: Option<&str>) -> CommandResult {
    let Some(name) = name else { return print(&(schema::NAMES.join("\n") + "\n")) };
    let text = schema::text(name).ok_or_else(|| {
        misconfigured(format!("there is no schema {name}; `paygate schema` lists them"))
    })?;
    print(&format!("{}\n", text.trim_end()))
}

/// Prints one chapter of the manual, or what each is about.
fn print_chapter(name: Option<&str>) -> CommandResult {
    match name {
        None => print(&chapters::list()),
        Some(name) => print(&chapters::text(name).map_err(misconfigured)?),
    }
}

/// Writes to standard output. Its reader may have read enough and closed it: `paygate help | head`.
fn print(text: &str) -> CommandResult {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(unavailable(error)),
        _ => Ok(()),
    }
}

/// Asks the running sidecar whether it is ready.
async fn check_health() -> ExitCode {
    match config::health_address(&config::environment()) {
        Err(problems) => exit_code(Err(misconfigured(problems))),
        Ok(admin) if health::is_ready(admin).await => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
    }
}

fn exit_code(outcome: CommandResult) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err((exit, message)) => {
            telemetry::print_error(&format!("paygate: {message}\n"));
            ExitCode::from(exit as u8)
        }
    }
}

/// An exit code of sysexits.h.
enum Exit {
    Configuration = 64,
    Unavailable = 69,
    Internal = 70,
}

type CommandResult = Result<(), (Exit, String)>;

fn misconfigured(problem: impl Display) -> (Exit, String) {
    (Exit::Configuration, problem.to_string())
}

fn unavailable(problem: impl Display) -> (Exit, String) {
    (Exit::Unavailable, problem.to_string())
}

fn internal(problem: impl Display) -> (Exit, String) {
    (Exit::Internal, problem.to_string())
}

fn not_started(error: AssembleError) -> (Exit, String) {
    match error {
        AssembleError::Refused(_) => misconfigured(error),
        AssembleError::Store(_) | AssembleError::Mock { .. } => unavailable(error),
        _ => internal(error),
    }
}
